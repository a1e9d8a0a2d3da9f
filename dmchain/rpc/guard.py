"""Who may talk to the server from a browser: the Host and Origin rules, without I/O.

A page on the web can make its visitor's browser talk to 127.0.0.1. The Host rule stops DNS rebinding (the page's own
name suddenly means 127.0.0.1, so the browser thinks it is the same origin): names must be known, addresses cannot be
rebound. The Origin rule stops the rest: other origins are neither served (POST), nor told that they may read (CORS),
nor upgraded (WebSocket, which CORS does not cover). Programs that are no browsers send no Origin and are always
served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

ANY = "*"
EXTENSION_SCHEMES = frozenset(("chrome-extension", "moz-extension", "safari-web-extension"))
"""Wallets like MetaMask send from here; the user installed them."""
_MAX_REMEMBERED = 256


def _remember(decide: Callable[[bytes], bool]) -> Callable[[bytes], bool]:
    """Keep verdicts: the same few headers come with every request."""
    verdicts: dict[bytes, bool] = {}

    def remembered(value: bytes) -> bool:
        verdict = verdicts.get(value)
        if verdict is None:
            verdict = decide(value)
            if len(verdicts) < _MAX_REMEMBERED:
                verdicts[value] = verdict
        return verdict

    return remembered


def host_rule(names: Iterable[str]) -> Callable[[bytes], bool]:
    """A predicate on Host headers: localhost, IP literals and `names` are allowed; ANY allows all."""
    allowed = frozenset(name.lower().rstrip(".") for name in names)

    def is_allowed(header: bytes) -> bool:
        if ANY in allowed or not header:
            return True
        name = split_host(header)
        return name in allowed or is_local_name(name) or _is_address(name)

    return _remember(is_allowed)


def origin_rule(origins: Iterable[str]) -> Callable[[bytes], bool]:
    """A predicate on Origin headers: pages from this machine, extensions and `origins`; ANY allows all."""
    allowed = frozenset(origin.lower().rstrip("/") for origin in origins)

    def is_allowed(header: bytes) -> bool:
        if ANY in allowed:
            return True
        origin = header.decode("latin-1").lower()
        if origin in allowed:
            return True
        try:
            parts = urlsplit(origin)
            name = parts.hostname or ""
        except ValueError:
            return False
        if parts.scheme in EXTENSION_SCHEMES:
            return True
        return parts.scheme in ("http", "https") and (is_local_name(name) or _is_loopback(name))

    return _remember(is_allowed)


def is_same_origin(origin: bytes, host: bytes) -> bool:
    """Whether a page was served from the very host and port it now talks to."""
    _, separator, rest = origin.partition(b"://")
    return bool(separator) and rest.lower() == host.lower()


def split_host(header: bytes) -> str:
    """The name in a Host header without its port, lower case, without brackets or a final dot."""
    text = header.decode("latin-1").strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].rstrip(".")


def is_local_name(name: str) -> bool:
    """RFC 6761: localhost and names under it never leave the machine."""
    return name == "localhost" or name.endswith(".localhost")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
