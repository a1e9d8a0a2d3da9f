"""Which peer is which validator, and whom to stay connected to; sans-IO.

Genesis names the nodes of the first validators. Everybody else, and they too once they have spoken, prove it with records
(network.validator_records) that are passed on: so a validator of any age is known, and dialled by who never heard of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.types import Address
from dmchain.node.consensus.epochs import Epochs
from dmchain.node.network.addresses import Target
from dmchain.node.network.discovery import is_dialable
from dmchain.node.network.identity import ChainIdentity, NodeId
from dmchain.node.network.messages import MAX_VALIDATOR_RECORDS, ValidatorRecord
from dmchain.node.network.transport import Endpoint
from dmchain.node.network.validator_records import ValidatorBook, make_validator_record, validator_endpoint

RENEWALS_SECONDS: Final = (5, 10, 30, 120, 600, 3600)
"""Between one's own records, the last again and again: the first ones may come to peers that do not know the key yet."""
MAX_KEPT: Final = 32
"""Validators to stay connected to; each node picks others of a larger set."""


@dataclass(frozen=True)
class OwnIdentity:
    """What this node says of itself: `endpoint` None tells nobody where it is."""

    node_key: PrivateKey
    consensus_key: PrivateKey | None
    endpoint: Callable[[], Endpoint | None]


class Identities:
    """Who is who on the network of one chain. `clock` in seconds since the epoch."""

    def __init__(
        self,
        chain: ChainIdentity,
        epochs: Epochs,
        head: Callable[[], int],
        genesis: Mapping[NodeId, Address],
        own: OwnIdentity,
        *,
        clock: Callable[[], float],
        allows_loopback: bool,
        fixed: Collection[Endpoint] = (),
    ) -> None:
        """`genesis`: consensus address by node id, for those of genesis that say where they listen. `allows_loopback`:
        this node is reached on its own machine alone, as in a trial; others' records may then name that machine. `fixed`:
        endpoints that this node stays connected to in any case."""
        self._fixed = frozenset(fixed)
        self._chain = chain
        self._epochs = epochs
        self._head = head
        self._own = own
        self._clock = clock
        self._allows_loopback = allows_loopback
        self._genesis = dict(genesis)
        self._genesis_nodes = {validator: node_id for node_id, validator in genesis.items()}
        self._book = ValidatorBook(chain, self._is_known)
        self._renewed = 0
        self._renew_at = 0.0
        self._kept: dict[Address, Target] = {}
        """Of validators by consensus address, besides the targets of configuration and genesis."""

    def _is_known(self, consensus: Address) -> bool:
        return self._epochs.may_validate(consensus)

    # -- who is who ----------------------------------------------------------------------------------------------
    def validator_of(self, node_id: NodeId) -> Address | None:
        """The consensus address that a node has proved to hold, or that genesis gives it."""
        proved = self._book.validator_of(node_id)
        if proved is not None:
            return proved
        named = self._genesis.get(node_id)
        # genesis does not count any more when the validator itself has named another node
        return None if named is None or self._book.get(named) is not None else named

    def node_of(self, consensus: Address) -> NodeId | None:
        record = self._book.get(consensus)
        return self._genesis_nodes.get(consensus) if record is None else record.node_id

    # -- hearing and telling -------------------------------------------------------------------------------------
    def take(self, records: tuple[ValidatorRecord, ...]) -> tuple[ValidatorRecord, ...]:
        """Remember what is news, and return it: for others. Raises ProtocolError when the sender lies."""
        own = None if self._own.consensus_key is None else self._own.consensus_key.address
        now = self._clock()
        return tuple([record for record in records if record.consensus != own and self._book.take(record, now)])

    def all_records(self) -> list[tuple[ValidatorRecord, ...]]:
        """What a new peer is told, in messages."""
        records = self._book.records()
        return [records[at : at + MAX_VALIDATOR_RECORDS] for at in range(0, len(records), MAX_VALIDATOR_RECORDS)]

    def renew(self) -> ValidatorRecord | None:
        """A new record of this node if one is due: as soon as the chain knows its key, and again and again."""
        key, now = self._own.consensus_key, self._clock()
        self._book.prune(now)
        if key is None or now < self._renew_at or not self._is_known(key.address):
            return None
        self._renew_at = now + RENEWALS_SECONDS[min(self._renewed, len(RENEWALS_SECONDS) - 1)]
        self._renewed += 1
        record = make_validator_record(key, self._own.node_key, self._chain, self._own.endpoint(), int(now))
        return record if self._book.take(record, now) else None

    # -- whom to stay connected to -------------------------------------------------------------------------------
    def retarget(self) -> tuple[list[Target], list[Target]]:
        """Return (targets to keep from now on, targets to keep no longer): the validators of this height and the next
        that say where they are."""
        wanted = self._choose_targets()
        begin = [target for validator, target in wanted.items() if self._kept.get(validator) != target]
        end = [target for validator, target in self._kept.items() if wanted.get(validator) != target]
        self._kept = wanted
        return begin, end

    def _choose_targets(self) -> dict[Address, Target]:
        height = self._head() + 1
        members = {each.address for each in self._epochs.at(height).validators.validators}
        members |= {each.address for each in self._epochs.next_after(height).validators}
        own = self._own.node_key.address
        found = {}
        for validator in members:
            record = self._book.get(validator)
            endpoint = None if record is None else validator_endpoint(record)
            if record is None or endpoint is None or endpoint in self._fixed or record.node_id == own:
                continue
            if is_dialable(endpoint, allow_loopback=self._allows_loopback):
                found[validator] = Target(endpoint, record.node_id)
        # each node looks at them in an order of its own, which stays the same
        order = sorted(found, key=lambda validator: keccak(own + validator))
        return {validator: found[validator] for validator in order[:MAX_KEPT]}
