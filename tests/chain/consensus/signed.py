"""Validators with real keys."""

from __future__ import annotations

from collections.abc import Iterable

from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.messages import NO_ROUND, PRECOMMIT, Signable, Vote
from dmchain.chain.consensus.signbytes import compute_domain, sign_digest
from dmchain.chain.consensus.validators import Validator, ValidatorSet
from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.types import Hash32

DOMAIN = compute_domain(1, Hash32(b"\1" * 32))


class Keys:
    """Private keys in the order of the set they make."""

    def __init__(self, powers: Iterable[int], salt: bytes = b"") -> None:
        made = [(PrivateKey(keccak(salt + number.to_bytes(2, "big"))), power) for number, power in enumerate(powers)]
        made.sort(key=lambda pair: pair[0].address)
        self.keys = [key for key, _ in made]
        self.set = ValidatorSet(tuple([Validator.from_public_key(key.public_key, power) for key, power in made]))

    def sign(self, message: Signable) -> Signable:
        parity, r, s = self.keys[message.validator].sign(sign_digest(DOMAIN, message))
        return message.signed(r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((parity,)))

    def vote(self, vote: Vote) -> Vote:
        signed = self.sign(vote)
        assert isinstance(signed, Vote)
        return signed

    def commit(self, block_hash: Hash32, height: int = 7, round: int = 1, by: Iterable[int] | None = None) -> Commit:
        signers = set(range(len(self.keys)) if by is None else by)
        signatures = [
            self.sign(Vote(PRECOMMIT, height, round, NO_ROUND, block_hash, index)).signature
            if index in signers
            else None
            for index in range(len(self.keys))
        ]
        return Commit(height, round, block_hash, tuple(signatures))
