"""Where streams come from: a `Network` dials and listens. `TcpNetwork` is the real one, simulated.py has the other."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import trio

from dmchain.chain.primitives.errors import DmchainError

LISTEN_BACKLOG: Final = 128
"""Connections the kernel keeps while we are busy; as many as may be half-open."""


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """A host, an IP literal or a name, and a port from 0 to 65535."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Read `host:port` or `[v6]:port`; raises DmchainError."""
        host, separator, port = text.rpartition(":")
        host = host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host
        is_number = port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= 65535
        if not separator or not host or len(host) > 253 or not is_number:
            raise DmchainError(f"network address: expected host:port, got {text!r}")
        return cls(host, int(port))

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """None for a name. A socket for both families shows IPv4 as ::ffff:1.2.3.4: that is IPv4."""
        try:
            ip = ipaddress.ip_address(self.host)
        except ValueError:
            return None
        return ip if isinstance(ip, ipaddress.IPv4Address) else ip.ipv4_mapped or ip

    @property
    def is_loopback(self) -> bool:
        return (ip := self.ip) is not None and ip.is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


StreamHandler: TypeAlias = Callable[[trio.abc.Stream, Endpoint], Awaitable[None]]
"""Takes a stream and where it comes from; runs as long as the stream lives, closes it, and never raises Exception."""


class Network(Protocol):
    """Connections, made and taken. The node's code is the same over each of them."""

    async def dial(self, endpoint: Endpoint) -> trio.abc.Stream:
        """Raises OSError. The caller sets the deadline."""

    async def listen(
        self,
        endpoint: Endpoint,
        on_stream: StreamHandler,
        *,
        task_status: trio.TaskStatus[Endpoint] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run `on_stream` for each connection until cancelled. `started()` gives the endpoint with the real port.

        Raises OSError when the address cannot be had.
        """


class TcpNetwork:
    """Real sockets. trio sets TCP_NODELAY on them: votes are small and must not wait for more."""

    async def dial(self, endpoint: Endpoint) -> trio.abc.Stream:
        return await trio.open_tcp_stream(endpoint.host, endpoint.port)

    async def listen(
        self,
        endpoint: Endpoint,
        on_stream: StreamHandler,
        *,
        task_status: trio.TaskStatus[Endpoint] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        async def handle(stream: trio.SocketStream) -> None:
            try:
                host, port = stream.socket.getpeername()[:2]
            except OSError:  # gone before we looked
                await trio.aclose_forcefully(stream)
                return
            await on_stream(stream, Endpoint(host, port))

        listeners = await trio.open_tcp_listeners(endpoint.port, host=endpoint.host, backlog=LISTEN_BACKLOG)
        port = listeners[0].socket.getsockname()[1]
        task_status.started(Endpoint(endpoint.host, port))
        await trio.serve_listeners(handle, listeners)
