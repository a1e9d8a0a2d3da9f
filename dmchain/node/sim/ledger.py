"""The chain that simulated validators agree on: blocks that are nothing but identity, link, validity and time."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from dmchain.chain.consensus.messages import PREVOTE, Candidate, Signable, Vote
from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.public_key import SIGNATURE_BYTES
from dmchain.chain.primitives.types import ZERO_HASH, Hash32

_BODY = struct.Struct(">QQ32sI?Q")


@dataclass(frozen=True, slots=True)
class SimulatedBlock:
    """`created_ms` is the proposer's clock; `is_valid` what execution would find."""

    height: int
    parent: Hash32
    proposer: int
    is_valid: bool
    created_ms: int
    candidate: Candidate


class Ledger:
    """All blocks and all signatures ever made in one world: hashing and signing without cryptography.

    A block's hash is its number, a signature is a number that stands for what was signed; neither can be forged, since
    only the ledger hands them out.
    """

    def __init__(self) -> None:
        self.blocks: dict[Hash32, SimulatedBlock] = {}
        self._signed: dict[bytes, Signable] = {}
        self._prevoters: dict[tuple[int, int, Hash32], set[int]] = {}

    def make_block(
        self, height: int, parent: Hash32, proposer: int, created_ms: int, *, is_valid: bool = True
    ) -> Candidate:
        number = len(self.blocks) + 1
        block_hash = Hash32(number.to_bytes(32, "big"))
        body = _BODY.pack(number, height, parent, proposer, is_valid, created_ms)
        candidate = Candidate(block_hash, body)
        self.blocks[block_hash] = SimulatedBlock(height, parent, proposer, is_valid, created_ms, candidate)
        return candidate

    def sign(self, message: Signable) -> Signable:
        signature = len(self._signed).to_bytes(SIGNATURE_BYTES, "big")
        signed = message.signed(signature)
        self._signed[signature] = signed
        if signed.kind == PREVOTE and signed.block_hash is not None:
            key = (signed.height, signed.round, signed.block_hash)
            self._prevoters.setdefault(key, set()).add(signed.validator)
        return signed

    def prevoters(self, height: int, round: int, block_hash: Hash32) -> set[int]:
        """Who has signed a prevote for the block in that round, by validator index."""
        return self._prevoters.get((height, round, block_hash), set())

    def is_signed(self, message: Signable) -> bool:
        signed = self._signed.get(message.signature)
        return signed is message or signed == message

    def is_vote_signed(self, vote: Vote, validators: ValidatorSet) -> bool:
        """The predicate the core asks inside certificates."""
        return self.is_signed(vote)


GENESIS = ZERO_HASH
"""Parent of the first block."""
