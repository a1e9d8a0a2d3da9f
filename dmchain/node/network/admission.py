"""Who may come in: counts of connections by host, subnet and kind, sans-IO."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from dmchain.node.network.reputation import host_subject
from dmchain.node.network.transport import Endpoint

_IPV6_SUBNET_BYTES: Final = 6
"""/48 is to IPv6 what /24 is to IPv4: what one provider's customer may get."""


@dataclass(frozen=True, slots=True)
class AdmissionConfig:
    """`max_half_open` connections have not finished their handshake. Loopback is exempt from the caps per host and
    subnet unless `limits_loopback`: all nodes of a devnet share it."""

    max_inbound: int = 40
    max_outbound: int = 24
    max_half_open: int = 128
    max_per_host: int = 8
    max_per_subnet: int = 24
    limits_loopback: bool = False


def subnet(endpoint: Endpoint) -> str:
    """The /24 or /48 of an endpoint; a name is a subnet of its own."""
    ip = endpoint.ip
    if ip is None:
        return endpoint.host
    return (ip.packed[:3] if ip.version == 4 else ip.packed[:_IPV6_SUBNET_BYTES]).hex()


class Admission:
    """INVARIANT: every connection that `enter` let in is counted until `leave`, and as half-open until `opened`."""

    def __init__(self, config: AdmissionConfig) -> None:
        self._config = config
        self._half_open = 0
        self._hosts: Counter[str] = Counter()
        self._subnets: Counter[str] = Counter()

    @property
    def half_open(self) -> int:
        return self._half_open

    def enter(self, endpoint: Endpoint) -> str | None:
        """Count an inbound connection before its handshake; return why not, None when it is let in."""
        config = self._config
        if self._half_open >= config.max_half_open:
            return f"{self._half_open} connections are half-open"
        if self._is_limited(endpoint):
            host, net = host_subject(endpoint), subnet(endpoint)
            if self._hosts[host] >= config.max_per_host:
                return f"{config.max_per_host} connections from its address"
            if self._subnets[net] >= config.max_per_subnet:
                return f"{config.max_per_subnet} connections from its subnet"
            self._hosts[host] += 1
            self._subnets[net] += 1
        self._half_open += 1
        return None

    def opened(self) -> None:
        """A connection that entered is no longer half-open: its peer has said hello."""
        self._half_open -= 1

    def leave(self, endpoint: Endpoint, *, was_opened: bool) -> None:
        """A connection that entered is over."""
        self._half_open -= not was_opened
        if self._is_limited(endpoint):
            for counter, key in ((self._hosts, host_subject(endpoint)), (self._subnets, subnet(endpoint))):
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]

    def _is_limited(self, endpoint: Endpoint) -> bool:
        return self._config.limits_loopback or not endpoint.is_loopback
