"""What consensus decides on and what is kept of it: a block with its record, the last commit and evidence.

Ethereum's header commits to the transactions; through `parent_beacon_block_root` it commits to the record, and the
record to last commit and evidence. So the header's hash binds every byte of a body, which the core relies on
(`messages.Candidate`): `decode_body` refuses anything else.
"""

from __future__ import annotations

from dataclasses import dataclass

from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.evidence import ChainEvidence, compute_evidence_hash, decode_evidence
from dmchain.chain.consensus.messages import Candidate
from dmchain.chain.consensus.record import Record
from dmchain.chain.primitives.block import Block
from dmchain.chain.primitives.codec import decode, encode, to_blob, to_list
from dmchain.chain.primitives.errors import DecodeError
from dmchain.chain.primitives.types import ZERO_HASH, Hash32
from dmchain.chain.trie import ordered_root

MAX_EVIDENCE = 8
"""In one block."""


@dataclass(frozen=True, slots=True)
class Facts:
    """dmchain's own part of a block. `last_commit` is the canonical commit of the height before, None at height 1."""

    record: Record
    last_commit: Commit | None = None
    evidence: tuple[ChainEvidence, ...] = ()

    def encode(self) -> bytes:
        """RLP [record, last commit, [evidence, ...]]."""
        commit = b"" if self.last_commit is None else self.last_commit.encode()
        return encode([self.record.encode(), commit, [item.encode() for item in self.evidence]])

    @classmethod
    def decode(cls, raw: bytes) -> Facts:
        """Raises DecodeError also when the record does not commit to the rest."""
        parts = to_list(decode(raw), "facts", 3)
        record = Record.decode(to_blob(parts[0], "record"))
        commit_raw = to_blob(parts[1], "last commit")
        commit = Commit.decode(commit_raw) if commit_raw else None
        items = to_list(parts[2], "evidence")
        if len(items) > MAX_EVIDENCE:
            raise DecodeError(f"evidence: expected at most {MAX_EVIDENCE}, got {len(items)}")
        evidence = tuple([decode_evidence(to_blob(item, "evidence")) for item in items])
        if record.last_commit_hash != (ZERO_HASH if commit is None else commit.hash):
            raise DecodeError("last commit: not the one that the record commits to")
        if record.evidence_hash != compute_evidence_hash(evidence):
            raise DecodeError("evidence: not what the record commits to")
        return cls(record, commit, evidence)


@dataclass(frozen=True, slots=True)
class Body:
    """A decoded candidate."""

    block: Block
    facts: Facts

    def encode(self) -> bytes:
        """RLP [block, facts]."""
        return encode([self.block.encode(), self.facts.encode()])

    def candidate(self) -> Candidate:
        return Candidate(self.block.hash, self.encode())


def decode_body(raw: bytes) -> Body:
    """Raises DecodeError unless all parts are what the header commits to. Signatures and rules are not checked."""
    parts = to_list(decode(raw), "body", 2)
    block = Block.decode(to_blob(parts[0], "block"))
    facts = Facts.decode(to_blob(parts[1], "facts"))
    header = block.header
    if header.parent_beacon_block_root != facts.record.root():
        raise DecodeError("record: not the one that the header commits to")
    if header.transactions_root != ordered_root([tx.raw for tx in block.transactions]):
        raise DecodeError("transactions: not those that the header commits to")
    if block.withdrawals is None or block.withdrawals:
        raise DecodeError("withdrawals: expected an empty list")
    return Body(block, facts)


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database keeps beside a block. `seen_commit` is what this node decided with; None where it was alone."""

    facts: Facts
    seen_commit: Commit | None = None

    def encode(self) -> bytes:
        """RLP [facts, seen commit]."""
        return encode([self.facts.encode(), b"" if self.seen_commit is None else self.seen_commit.encode()])

    @classmethod
    def decode(cls, raw: bytes) -> Stored:
        facts, commit = to_list(decode(raw), "stored facts", 2)
        commit_raw = to_blob(commit, "seen commit")
        return cls(Facts.decode(to_blob(facts, "facts")), Commit.decode(commit_raw) if commit_raw else None)


def hash_body(raw: bytes) -> Hash32:
    """The name of a body from outside; raises DecodeError."""
    return decode_body(raw).block.hash
