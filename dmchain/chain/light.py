"""Light verification: believe a header because of who signed it, not because of who sent it. Pure.

What is trusted at the start is a validator set at a height, no older than the trusting period. From a trusted block
follows another one

* directly after it, if the validators that its record names as the next ones have signed it;
* any number of heights later, if those who have signed it are worth more than a third of them as well: a correct one is
  among them, and it would not sign a block of another chain. Where the set has changed too much for that, a block in
  between is verified first (`LightClient` halves the way). Within an epoch one step is always enough.

In both cases more than two thirds of the block's own validators must have signed it, and its record must hash to the
header's `parent_beacon_block_root`. docs/light.md says what that is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmchain.chain.consensus.certificates import InvalidCertificate
from dmchain.chain.consensus.commit import Commit, verify_commit
from dmchain.chain.consensus.evidence import DoubleVote, make_double_vote
from dmchain.chain.consensus.record import LEAVES, Record
from dmchain.chain.consensus.signatures import IsSigned
from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.block import Header
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.primitives.types import Hash32

CLOCK_DRIFT_MS = 10_000
"""How far a block's time may lie ahead of one's own clock."""
DEFAULT_TRUSTING_PERIOD_MS = 388_800_000
"""4.5 days: two thirds of the seven for which stake can still be slashed."""


class LightError(DmchainError):
    """A block cannot be believed."""


class InsufficientTrust(LightError):
    """Too few of the trusted validators have signed a block: one in between is needed first."""


class TrustExpired(LightError):
    """What was trusted is so old that its validators may have taken their stake back, and have nothing to lose."""

    hint = "ask somebody you trust for a newer height and the hash of its validators"


@dataclass(frozen=True, slots=True)
class LightBlock:
    """What a node sends about one height. `validators` sign it, `next_validators` the next height."""

    header: Header
    record: Record
    commit: Commit
    validators: ValidatorSet
    next_validators: ValidatorSet

    @property
    def height(self) -> int:
        return self.header.number


def verify_light_block(block: LightBlock, chain_id: int, is_signed: IsSigned) -> None:
    """Raises LightError unless the parts belong together and the block's own validators have signed it."""
    header, record, commit = block.header, block.record, block.commit
    checks = (
        ("record root", record.root(), header.parent_beacon_block_root),
        ("record chain id", record.chain_id, chain_id),
        ("record height", record.height, header.number),
        ("record seconds", record.timestamp_ms // 1000, header.timestamp),
        ("validators hash", block.validators.hash, record.validators_hash),
        ("next validators hash", block.next_validators.hash, record.next_validators_hash),
        ("commit height", commit.height, header.number),
        ("commit block hash", commit.block_hash, header.hash),
    )
    for field, got, expected in checks:
        if got != expected:
            raise LightError(f"block {header.number}: {field}: expected {_show(expected)}, got {_show(got)}")
    try:
        verify_commit(commit, block.validators, is_signed)
    except InvalidCertificate as error:
        raise LightError(f"block {header.number}: {error}") from error


def verify_anchor(
    block: LightBlock, validators_hash: Hash32, chain_id: int, now_ms: int, period_ms: int, is_signed: IsSigned
) -> None:
    """Verify the first block by the hash of its validators, which is trusted. Raises LightError."""
    if block.validators.hash != validators_hash:
        raise LightError(
            f"block {block.height}: validators hash: expected 0x{validators_hash.hex()}, which is trusted, got"
            f" 0x{block.validators.hash.hex()}"
        )
    verify_light_block(block, chain_id, is_signed)
    _check_age(block, now_ms, period_ms)
    _check_clock(block, now_ms)


def verify_step(
    trusted: LightBlock, block: LightBlock, chain_id: int, now_ms: int, period_ms: int, is_signed: IsSigned
) -> None:
    """Verify `block` from `trusted`, a verified block below it.

    Raises TrustExpired, InsufficientTrust (a block in between may help) or LightError (the block is false).
    """
    if block.height <= trusted.height:
        raise LightError(f"block {block.height}: expected one above the trusted block {trusted.height}")
    _check_age(trusted, now_ms, period_ms)
    _check_clock(block, now_ms)
    if block.record.timestamp_ms <= trusted.record.timestamp_ms:
        raise LightError(
            f"block {block.height}: time: expected more than {trusted.record.timestamp_ms} ms of block"
            f" {trusted.height}, got {block.record.timestamp_ms}"
        )
    if block.height == trusted.height + 1:
        checks = (
            ("parent hash", block.header.parent_hash, trusted.header.hash),
            ("validators hash", block.validators.hash, trusted.next_validators.hash),
        )
        for field, got, expected in checks:
            if got != expected:
                raise LightError(f"block {block.height}: {field}: expected {_show(expected)}, got {_show(got)}")
        verify_light_block(block, chain_id, is_signed)
        return
    power = _signing_power(block, trusted.next_validators)
    needed = trusted.next_validators.total // 3 + 1
    if power < needed:
        raise InsufficientTrust(
            f"block {block.height}: signed by power {power} of the validators after block {trusted.height}, expected"
            f" {needed} or more"
        )
    verify_light_block(block, chain_id, is_signed)


def _signing_power(block: LightBlock, trusted: ValidatorSet) -> int:
    """The power in `trusted` of those whose signatures the commit carries; they are checked afterwards, every one."""
    power = 0
    for index in block.commit.signers():
        if index >= len(block.validators):
            raise LightError(f"block {block.height}: commit: {len(block.validators)} validators, got number {index}")
        known = trusted.index_of(block.validators.validators[index].address)
        if known is not None:
            power += trusted.powers[known]
    return power


def _check_age(trusted: LightBlock, now_ms: int, period_ms: int) -> None:
    age = now_ms - trusted.record.timestamp_ms
    if age > period_ms:
        raise TrustExpired(
            f"block {trusted.height}: trusted, but {age // 1000} s old; expected at most {period_ms // 1000} s"
        )


def _check_clock(block: LightBlock, now_ms: int) -> None:
    if block.record.timestamp_ms > now_ms + CLOCK_DRIFT_MS:
        raise LightError(
            f"block {block.height}: time: {(block.record.timestamp_ms - now_ms) // 1000} s ahead of the clock"
        )


class LightClient:
    """From a trusted block to a target height, sans-IO: get the block at `wanted`, give it to `supply`, until None.

    The way is halved where the validators have changed too much for one step: with e changes of the set there are at
    most about e * log2(distance) blocks to get.
    """

    def __init__(self, trusted: LightBlock, target: int, chain_id: int, period_ms: int, is_signed: IsSigned) -> None:
        """`trusted` must have been verified. Raises LightError for a target below it."""
        if target < trusted.height:
            raise LightError(
                f"block {target}: lies below the trusted block {trusted.height}", hint="trust an earlier height"
            )
        self.trusted = trusted
        self.verified = 1
        """Blocks believed so far, the first one included."""
        self._chain_id = chain_id
        self._period_ms = period_ms
        self._is_signed = is_signed
        self._targets = [] if target == trusted.height else [target]
        """Heights to verify, the nearest last."""
        self._supplied: dict[int, LightBlock] = {}
        """Blocks of `targets` that were too far away when they came; at most one a halving."""

    @property
    def wanted(self) -> int | None:
        """The height to get next; None when `trusted` is the target."""
        return self._targets[-1] if self._targets else None

    def supply(self, block: LightBlock, now_ms: int) -> None:
        """Take the block at `wanted`. Raises LightError; then whoever sent it lies, or the trust has expired."""
        wanted = self.wanted
        if wanted is None or block.height != wanted:
            raise LightError(f"expected block {wanted}, got {block.height}")
        self._supplied[wanted] = block
        while self._targets and (candidate := self._supplied.get(self._targets[-1])) is not None:
            try:
                verify_step(self.trusted, candidate, self._chain_id, now_ms, self._period_ms, self._is_signed)
            except InsufficientTrust:
                self._targets.append((self.trusted.height + candidate.height) // 2)
                continue
            self.trusted = candidate
            self.verified += 1
            del self._supplied[self._targets.pop()]


def find_double_votes(a: Commit, b: Commit) -> list[DoubleVote]:
    """Who has signed both of two commits of one height and round for different blocks: evidence for any node.

    Empty when the rounds differ: then only the votes in between convict (amnesia), which a light client does not see.
    Both commits must be of one validator set.
    """
    if (a.height, a.round) != (b.height, b.round) or a.block_hash == b.block_hash:
        return []
    both = sorted(set(a.signers()) & set(b.signers()))
    return [make_double_vote(a.vote(index), b.vote(index)) for index in both]


# -- leaves of a record ------------------------------------------------------------------------------------------
def prove_leaf(record: Record, index: int) -> list[Hash32]:
    """The four hashes that prove leaf `index` (0 to 15) of a record under its root, from the leaf up."""
    level: list[bytes] = list(record.leaves())
    proof = []
    while len(level) > 1:
        proof.append(Hash32(level[index ^ 1]))
        level = [keccak(level[at] + level[at + 1]) for at in range(0, len(level), 2)]
        index //= 2
    return proof


def verify_leaf(root: Hash32, index: int, leaf: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `leaf` (32 bytes) is number `index` under `root`: what a contract does with EIP-4788's root."""
    if not 0 <= index < LEAVES or len(leaf) != 32 or len(proof) != LEAVES.bit_length() - 1:
        return False
    node = leaf
    for sibling in proof:
        if len(sibling) != 32:
            return False
        node = keccak(sibling + node) if index & 1 else keccak(node + sibling)
        index //= 2
    return node == root


def _show(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
