"""Where other nodes may be reached, and when to try again; sans-IO.

Kept targets come from the configuration or from the validators' list: they are tried for ever. The others are hearsay:
bounded in number, and by subnet, so that one liar cannot fill the book; those that never answer are forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.primitives.types import Address
from dmchain.node.network.admission import subnet
from dmchain.node.network.identity import NodeId
from dmchain.node.network.messages import PeerRecord
from dmchain.node.network.transport import Endpoint

FIRST_RETRY_SECONDS: Final = 0.25
MAX_RETRY_SECONDS: Final = 60.0
MAX_ADDRESSES: Final = 1024
MAX_PER_SUBNET: Final = 32
MAX_FAILURES: Final = 8
"""After so many a hearsay address is forgotten."""


@dataclass(frozen=True, slots=True)
class Target:
    """A node to stay connected to. `node_id` None: whoever answers there."""

    endpoint: Endpoint
    node_id: NodeId | None = None

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read `host:port` or `0x<40 hex>@host:port`; raises DmchainError."""
        head, separator, tail = text.rpartition("@")
        if not separator:
            return cls(Endpoint.parse(text))
        digits = head.removeprefix("0x")
        try:
            node_id = bytes.fromhex(digits)
        except ValueError:
            node_id = b""
        if len(node_id) != 20 or len(digits) != 40:
            raise DmchainError(f"peer: expected 0x and 40 hex digits before @, got {head!r}")
        return cls(Endpoint.parse(tail), Address(node_id))

    def __str__(self) -> str:
        return str(self.endpoint) if self.node_id is None else f"0x{self.node_id.hex()}@{self.endpoint}"


@dataclass(slots=True)
class Entry:
    """What is known of one endpoint. `record` is the node's own signed one, which may be passed on."""

    endpoint: Endpoint
    node_id: NodeId | None = None
    record: PeerRecord | None = None
    is_kept: bool = False
    failures: int = 0
    next_try: float = 0.0
    was_reached: bool = False


class AddressBook:
    """INVARIANT: at most MAX_ADDRESSES hearsay entries, MAX_PER_SUBNET of one subnet; `_of_node` names one entry, a kept one
    if there is one, for each node id in the book."""

    def __init__(self, rng: Random, *, max_addresses: int = MAX_ADDRESSES) -> None:
        self._rng = rng
        self._max_addresses = max_addresses
        self._entries: dict[Endpoint, Entry] = {}
        self._of_node: dict[NodeId, Endpoint] = {}
        self._subnets: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, endpoint: Endpoint) -> Entry | None:
        return self._entries.get(endpoint)

    def keep(self, target: Target, now: float, delay_seconds: float = 0.0) -> None:
        """Stay connected to a target; the first try comes after `delay_seconds`."""
        entry = self._entries.get(target.endpoint)
        if entry is None:
            entry = self._entries[target.endpoint] = Entry(target.endpoint)
            self._subnets[subnet(target.endpoint)] += 1
        entry.is_kept = True
        entry.next_try = now + delay_seconds
        node_id = entry.node_id if target.node_id is None else target.node_id
        if node_id is not None:
            self._name(entry, node_id)

    def release(self, endpoint: Endpoint) -> None:
        """The target is hearsay from now on."""
        if (entry := self._entries.get(endpoint)) is not None:
            entry.is_kept = False
            if entry.node_id is not None:
                self._find_node(entry.node_id)

    def learn(
        self, node_id: NodeId, endpoint: Endpoint, record: PeerRecord, now: float, *, is_confirmed: bool = False
    ) -> bool:
        """Note a checked record; return whether it was news. A full subnet takes no more; a full book makes room.

        `is_confirmed`: the node itself said so over a connection from that host, so the record may be passed on.
        """
        known_at = self._of_node.get(node_id)
        if known_at is not None:
            known = self._entries[known_at]
            if known.record is not None and known.record.sequence >= record.sequence:
                return False
            if known_at == endpoint:
                known.record = record
                known.was_reached |= is_confirmed
                return False
            if known.is_kept:
                return False
            self.forget(known_at)
        entry = self._entries.get(endpoint)
        if entry is None:
            if self._subnets[subnet(endpoint)] >= MAX_PER_SUBNET or not self._make_room():
                return False
            entry = self._entries[endpoint] = Entry(endpoint, next_try=now)
            self._subnets[subnet(endpoint)] += 1
        elif entry.node_id is not None:
            return False  # a reached or kept endpoint is not taken over by hearsay
        entry.record = record
        entry.was_reached |= is_confirmed
        self._name(entry, node_id)
        return True

    def reached(self, endpoint: Endpoint, node_id: NodeId) -> None:
        """A dial has come through."""
        if (entry := self._entries.get(endpoint)) is not None:
            entry.was_reached = True
            if entry.record is not None and entry.node_id != node_id:
                entry.record = None  # another node lives there now
            self._name(entry, node_id)

    def retry_later(self, endpoint: Endpoint, now: float, *, least_seconds: float = 0.0) -> None:
        """A dial has failed or its connection has ended: back off, twice as long each time, with jitter."""
        entry = self._entries.get(endpoint)
        if entry is None:
            return
        entry.failures += 1
        if not entry.is_kept and entry.failures >= MAX_FAILURES:
            self.forget(endpoint)
            return
        delay = min(FIRST_RETRY_SECONDS * 2 ** min(entry.failures - 1, 20), MAX_RETRY_SECONDS)
        entry.next_try = now + max(delay, least_seconds) * self._rng.uniform(0.5, 1.5)

    def settled(self, endpoint: Endpoint) -> None:
        """A connection has lasted: the next failure is the first one again."""
        if (entry := self._entries.get(endpoint)) is not None:
            entry.failures = 0

    def forget(self, endpoint: Endpoint) -> None:
        entry = self._entries.pop(endpoint, None)
        if entry is not None:
            self._subnets[subnet(endpoint)] -= 1
            if entry.node_id is not None:
                self._find_node(entry.node_id)

    def is_kept(self, node_id: NodeId) -> bool:
        """Whether the node is a target to stay connected to."""
        endpoint = self._of_node.get(node_id)
        return endpoint is not None and self._entries[endpoint].is_kept

    def kept_due(self, now: float) -> list[Entry]:
        return [entry for entry in self._entries.values() if entry.is_kept and entry.next_try <= now]

    def pick_hearsay(self, now: float, is_wanted: Callable[[Entry], bool]) -> Entry | None:
        """A random hearsay entry that is due and wanted."""
        due = [entry for entry in self._entries.values() if not entry.is_kept and entry.next_try <= now]
        wanted = [entry for entry in due if is_wanted(entry)]
        return self._rng.choice(wanted) if wanted else None

    def sample_records(self, count: int, *, leave_out: NodeId) -> tuple[PeerRecord, ...]:
        """Random records of nodes that this node has reached itself: lies are not passed on."""
        records = [
            entry.record
            for entry in self._entries.values()
            if entry.record is not None and entry.was_reached and entry.node_id != leave_out
        ]
        return tuple(self._rng.sample(records, min(count, len(records))))

    def dump(self) -> list[list[Any]]:
        """[ip, port, sequence, signature] of the records of reached nodes: for a file."""
        return [
            [r.ip.hex(), r.port, r.sequence, r.signature.hex()]
            for entry in self._entries.values()
            if (r := entry.record) is not None and entry.was_reached
        ]

    def _make_room(self) -> bool:
        """Whether there is room for one more, forgetting a random entry nobody has reached if need be."""
        if len(self._entries) < self._max_addresses:
            return True
        spare = [entry for entry in self._entries.values() if not entry.is_kept and not entry.was_reached]
        if not spare:
            return False
        self.forget(self._rng.choice(spare).endpoint)
        return True

    def _name(self, entry: Entry, node_id: NodeId) -> None:
        """Node `node_id` lives there now."""
        before, entry.node_id = entry.node_id, node_id
        if before is not None and before != node_id:
            self._find_node(before)
        self._find_node(node_id)

    def _find_node(self, node_id: NodeId) -> None:
        """Note where a node lives: at a kept endpoint, or else at any."""
        homes = [entry for entry in self._entries.values() if entry.node_id == node_id]
        if homes:
            self._of_node[node_id] = max(homes, key=lambda entry: entry.is_kept).endpoint
        else:
            self._of_node.pop(node_id, None)
