"""Validators that misbehave on purpose."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from dmchain.chain.consensus.encoding import encode_message
from dmchain.chain.consensus.messages import NO_ROUND, Message, ProposalMessage, Vote
from dmchain.chain.consensus.signbytes import sign_digest
from dmchain.chain.primitives.types import Hash32
from dmchain.node.consensus.validator import ValidatorNode

if TYPE_CHECKING:
    from tests.simulation.full_node import FullNode


class Equivocator:
    """Sends a second, contradicting vote after each of its own, a few of them different ones to each peer.

    With `is_lazy` it does so at the heights where it should propose, and does not: so that there is evidence of a height
    before the block of that height is built.
    """

    def __init__(self, node: FullNode, validator: ValidatorNode, rng: Random, *, is_lazy: bool = False) -> None:
        self._is_lazy = is_lazy
        self._key = node.consensus_key
        self._validator = validator
        self._rng = rng
        self._honest = validator.host.intake.broadcast

    def install(self) -> None:
        self._validator.host.intake.broadcast = self._broadcast  # type: ignore[method-assign]

    def _broadcast(self, message: Message) -> None:
        if isinstance(message, ProposalMessage) and self._is_lazy:
            return
        self._honest(message)
        machine = self._validator.host.core.machine
        is_due = machine is not None and (not self._is_lazy or machine.proposer(0) == machine.me)
        if isinstance(message, Vote) and is_due:
            for peer in self._validator.peering.peers():
                value = None if message.block_hash is not None else Hash32(self._rng.randbytes(32))
                if self._rng.random() < 0.2:
                    value = Hash32(self._rng.randbytes(32))
                lie = self._sign(replace(message, block_hash=value, valid_round=NO_ROUND, signature=b""))
                self._validator.peering.send(peer, encode_message(lie), has_body=False)

    def _sign(self, vote: Vote) -> Vote:
        domain = self._validator.host.intake._checker.domain
        parity, r, s = self._key.sign(sign_digest(domain, vote))
        return vote.signed(r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((parity,)))
