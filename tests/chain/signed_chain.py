"""Chains without execution: headers, records and commits that are signed by changing validators and hang together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from dmchain.chain.consensus.body import Body, Facts
from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.messages import NO_ROUND, PRECOMMIT, Vote
from dmchain.chain.consensus.record import Record
from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.consensus.signbytes import compute_domain, sign_digest
from dmchain.chain.consensus.validators import Validator, ValidatorSet
from dmchain.chain.primitives.block import (
    EMPTY_BLOOM,
    EMPTY_OMMERS_HASH,
    EMPTY_REQUESTS_HASH,
    EMPTY_TRIE_ROOT,
    Block,
    Header,
)
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.types import ZERO_ADDRESS, ZERO_HASH, Hash32
from dmchain.chain.sync.verify import WireBlock

CHAIN_ID = 1337
GENESIS_TIME = 1_700_000_000
_KEYS: dict[str, PrivateKey] = {}


def key_of(name: str) -> PrivateKey:
    if name not in _KEYS:
        _KEYS[name] = PrivateKey(hashlib.sha256(name.encode()).digest())
    return _KEYS[name]


@dataclass(frozen=True)
class Team:
    """Validators by name, with their keys; powers are 10 unless given."""

    names: tuple[str, ...]
    powers: tuple[int, ...] = ()

    @cached_property
    def keys(self) -> tuple[PrivateKey, ...]:
        """In the order of the set."""
        return tuple(sorted((key_of(name) for name in self.names), key=lambda key: key.address))

    @cached_property
    def set(self) -> ValidatorSet:
        powers = self.powers or (10,) * len(self.names)
        by_name = zip(self.names, powers, strict=True)
        return ValidatorSet.from_unordered(
            [Validator.from_public_key(key_of(name).public_key, power) for name, power in by_name]
        )


def make_header(number: int, parent: Hash32, record_root: Hash32, timestamp: int, **changes: object) -> Header:
    base = Header(
        parent_hash=parent,
        ommers_hash=EMPTY_OMMERS_HASH,
        coinbase=ZERO_ADDRESS,
        state_root=EMPTY_TRIE_ROOT,
        transactions_root=EMPTY_TRIE_ROOT,
        receipts_root=EMPTY_TRIE_ROOT,
        bloom=EMPTY_BLOOM,
        difficulty=0,
        number=number,
        gas_limit=30_000_000,
        gas_used=0,
        timestamp=timestamp,
        extra_data=b"",
        prev_randao=ZERO_HASH,
        nonce=bytes(8),
        base_fee_per_gas=7,
        withdrawals_root=EMPTY_TRIE_ROOT,
        blob_gas_used=0,
        excess_blob_gas=0,
        parent_beacon_block_root=record_root,
        requests_hash=EMPTY_REQUESTS_HASH,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def sign_commit(
    domain: Hash32, height: int, block_hash: Hash32, team: Team, absent: Sequence[int] = (), round: int = 0
) -> Commit:
    """The commit of all of `team` but those whose indices are `absent`."""
    signatures: list[bytes | None] = []
    for index, key in enumerate(team.keys):
        if index in absent:
            signatures.append(None)
            continue
        vote = Vote(PRECOMMIT, height, round, NO_ROUND, block_hash, index)
        y_parity, r, s = key.sign(sign_digest(domain, vote))
        signatures.append(r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([y_parity]))
    return Commit(height, round, block_hash, tuple(signatures))


@dataclass
class SignedChain:
    """Blocks 1 to n; block 0 is a header. `changes` maps the first height of an epoch to its team."""

    team: Team
    changes: dict[int, Team] = field(default_factory=dict)
    block_seconds: int = 1

    def __post_init__(self) -> None:
        self.genesis = make_header(0, ZERO_HASH, ZERO_HASH, GENESIS_TIME)
        self.domain = compute_domain(CHAIN_ID, self.genesis.hash)
        self.checker = SignatureChecker(self.domain)
        self.bodies: list[Body] = []
        self.commits: list[Commit] = []

    @property
    def height(self) -> int:
        return len(self.bodies)

    def team_at(self, height: int) -> Team:
        """Who signs `height`."""
        return self.changes[max(at for at in self.changes if at <= height)] if self._changed(height) else self.team

    def _changed(self, height: int) -> bool:
        return any(at <= height for at in self.changes)

    def header(self, height: int) -> Header:
        return self.bodies[height - 1].block.header if height else self.genesis

    def make_body(self, record_changes: dict[str, object] | None = None, **header_changes: object) -> Body:
        """The block after the last one; not signed, not appended."""
        height = self.height + 1
        parent = self.header(self.height)
        timestamp = parent.timestamp + self.block_seconds
        last_commit = self.commits[-1] if self.commits else None
        record = Record(
            chain_id=CHAIN_ID,
            height=height,
            timestamp_ms=timestamp * 1000,
            epoch=sum(at <= height for at in self.changes),
            validators_hash=self.team_at(height).set.hash,
            next_validators_hash=self.team_at(height + 1).set.hash,
            last_commit_hash=ZERO_HASH if last_commit is None else last_commit.hash,
        )
        record = replace(record, **(record_changes or {}))  # type: ignore[arg-type]
        header = make_header(height, parent.hash, record.root(), timestamp, **header_changes)
        return Body(Block(header, (), ()), Facts(record, last_commit))

    def append(self, body: Body, absent: Sequence[int] = ()) -> None:
        height = self.height + 1
        self.commits.append(sign_commit(self.domain, height, body.block.hash, self.team_at(height), absent))
        self.bodies.append(body)

    def grow(self, blocks: int, **header_changes: object) -> SignedChain:
        for _ in range(blocks):
            self.append(self.make_body(**header_changes))
        return self

    def wire(self, height: int) -> WireBlock | None:
        if not 1 <= height <= self.height:
            return None
        return WireBlock(self.bodies[height - 1].encode(), self.commits[height - 1].encode())
