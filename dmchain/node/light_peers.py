"""Light blocks over the network of nodes: served from the database, and verified from what the operator trusts.

What comes from a peer is decoded strictly and believed only as `dmchain.chain.light` believes it.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from dmchain.chain.blockchain import ChainView
from dmchain.chain.consensus.body import Stored
from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.record import Record
from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.consensus.signbytes import compute_domain
from dmchain.chain.consensus.validators import MAX_VALIDATORS, Validator, ValidatorSet
from dmchain.chain.light import (
    DEFAULT_TRUSTING_PERIOD_MS,
    LightBlock,
    LightClient,
    LightError,
    TrustExpired,
    verify_anchor,
)
from dmchain.chain.primitives.block import Header
from dmchain.chain.primitives.errors import DecodeError, DmchainError
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.node.light_trust import Trust
from dmchain.node.network.errors import RequestFailed
from dmchain.node.network.messages import GetLightBlock, LightBlockParts, Refusal, RefusalCode, Reply
from dmchain.node.validator_sets import read_validators

log = logging.getLogger("dmchain.sync")

_MEMBER = struct.Struct(">20sQ")

MAX_ASKED: Final = 4
"""Peers for one height; each may take ten seconds to say nothing."""

Ask = Callable[[int, GetLightBlock], Awaitable[Reply]]
"""Ask a peer; raises RequestFailed."""


# -- serving -----------------------------------------------------------------------------------------------------
def serve_light_block(view: ChainView, height: int) -> Reply:
    """Everything that proves the block at `height`, as far as this node has it."""
    header, raw = view.blocks.header(height), view.blocks.record(height)
    commit = _find_commit(view, height)
    if header is None or not raw or commit is None or height > view.head.number:
        return Refusal(RefusalCode.UNAVAILABLE, f"no commit of block {height}")
    validators, following = read_validators(view.snapshot, height), read_validators(view.snapshot, height + 1)
    if validators is None or following is None:
        return Refusal(RefusalCode.UNAVAILABLE, f"the validators of block {height} are not kept any more")
    record = Stored.decode(raw).facts.record
    return LightBlockParts(
        header.encode(), record.encode(), commit.encode(), encode_members(validators), encode_members(following)
    )


def _find_commit(view: ChainView, height: int) -> Commit | None:
    """The one in the next block, which is the same everywhere; of the head the one this node decided with."""
    following, own = view.blocks.record(height + 1), view.blocks.record(height)
    commit = Stored.decode(following).facts.last_commit if following else None
    if commit is None and own:
        commit = Stored.decode(own).seen_commit
    return commit


# -- asking ------------------------------------------------------------------------------------------------------
def decode_parts(parts: LightBlockParts) -> LightBlock:
    """Raises DecodeError and InvalidValidatorSet; nothing is verified."""
    return LightBlock(
        Header.decode(parts.header),
        Record.decode(parts.record),
        Commit.decode(parts.commit),
        decode_members(parts.validators),
        decode_members(parts.next_validators),
    )


def encode_members(validators: ValidatorSet) -> bytes:
    """(address 20 || power 8) of each, in order: what the set's hash is made of. States have no public keys."""
    return b"".join([_MEMBER.pack(each.address, each.power) for each in validators.validators])


def decode_members(raw: bytes) -> ValidatorSet:
    """Raises DecodeError or InvalidValidatorSet."""
    if len(raw) % _MEMBER.size or len(raw) > MAX_VALIDATORS * _MEMBER.size:
        raise DecodeError(
            f"validators: expected at most {MAX_VALIDATORS} of {_MEMBER.size} bytes, got {len(raw)} bytes"
        )
    return ValidatorSet(tuple([Validator(Address(address), power) for address, power in _MEMBER.iter_unpack(raw)]))


class LightPeers:
    """Verifies heights with the help of peers, none of which is believed."""

    def __init__(
        self,
        ask: Ask,
        peers: Callable[[], Sequence[int]],
        fault: Callable[[int, str], None],
        trust: Trust,
        chain_id: int,
        genesis_hash: Hash32,
        *,
        clock: Callable[[], float],
        period_ms: int = DEFAULT_TRUSTING_PERIOD_MS,
    ) -> None:
        """`clock` gives seconds since the epoch. `fault` is told of peers that sent something false."""
        self._ask = ask
        self._peers = peers
        self._fault = fault
        self._trust = trust
        self._chain_id = chain_id
        self._clock = clock
        self._period_ms = period_ms
        self._is_signed = SignatureChecker(compute_domain(chain_id, genesis_hash)).is_signed
        self._trusted: LightBlock | None = None
        """The highest block verified so far: the next one is nearer to it."""
        self._useful: list[int] = []
        """Peers that have helped, the last one first."""
        self._useless: set[int] = set()

    async def verify(self, height: int) -> LightBlock:
        """The block at `height`. Raises LightError when none of a few peers gives what proves it."""
        reasons = []
        for peer in self._whom_to_ask():
            try:
                block = await self._verify_with(peer, height)
            except TrustExpired:
                raise
            except RequestFailed as error:
                reasons.append(str(error))
                self._useless.add(peer)
            except DmchainError as error:
                reasons.append(str(error))
                self._useless.add(peer)
                self._fault(peer, f"light block: {error}")
            else:
                self._useful = [peer, *[other for other in self._useful if other != peer]]
                return block
        raise LightError(f"block {height} cannot be verified: {reasons[-1] if reasons else 'there is no peer'}")

    def _whom_to_ask(self) -> list[int]:
        """Those who have helped, then those never asked: who claims a height that is not there must not have us wait for
        each of its friends."""
        peers = self._peers()
        known = [peer for peer in self._useful if peer in peers]
        fresh = [peer for peer in peers if peer not in known and peer not in self._useless]
        rest = [peer for peer in peers if peer not in known and peer in self._useless]
        return [*known, *fresh, *rest][:MAX_ASKED]

    async def _verify_with(self, peer: int, height: int) -> LightBlock:
        now_ms = int(self._clock() * 1000)
        trusted = self._trusted
        if trusted is None or trusted.height > height:
            trusted = await self._get(peer, self._trust.height)
            verify_anchor(
                trusted, self._trust.validators_hash, self._chain_id, now_ms, self._period_ms, self._is_signed
            )
        client = LightClient(trusted, height, self._chain_id, self._period_ms, self._is_signed)
        while (wanted := client.wanted) is not None:
            client.supply(await self._get(peer, wanted), now_ms)
        self._trusted = client.trusted
        return client.trusted

    async def _get(self, peer: int, height: int) -> LightBlock:
        reply = await self._ask(peer, GetLightBlock(height))
        if not isinstance(reply, LightBlockParts):
            raise RequestFailed(f"answered with {type(reply).__name__}: no light block {height}")
        block = decode_parts(reply)
        if block.height != height:
            raise LightError(f"asked for block {height}, got block {block.height}")
        return block
