"""Verification of received blocks: a pure function from bytes to verdicts, fit for another process.

Everything up to the commit's quorum is checked before anybody else is blamed: a block that does not hold together, or
whose commit is not one, is the sending peer's fault. Once a quorum stands behind a block, a link that does not fit is
no peer's fault any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmchain.chain.consensus.body import decode_body
from dmchain.chain.consensus.certificates import InvalidCertificate
from dmchain.chain.consensus.commit import Commit, verify_commit
from dmchain.chain.consensus.signatures import IsSigned
from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.errors import DmchainError, InvalidTransaction, SignatureError
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Hash32


@dataclass(frozen=True, slots=True)
class WireBlock:
    """A block (`consensus.body.Body`) and the commit that its sender decided it with (`consensus.commit.Commit`)."""

    block: bytes
    commit: bytes

    @property
    def size(self) -> int:
        return len(self.block) + len(self.commit)


@dataclass(frozen=True, slots=True)
class VerifyRun:
    """A job: blocks of consecutive heights from `start` on, to be signed by `validators`.

    `parent_hash` of the first block, None where that is not known yet.
    """

    number: int
    start: int
    blocks: tuple[WireBlock, ...]
    validators: ValidatorSet
    chain_id: int
    parent_hash: Hash32 | None = None


@dataclass(frozen=True, slots=True)
class BlockLink:
    """How a verified block hangs in the chain. `next_validators_hash` is of the set that signs the next height.

    `senders` of its transactions, 20 bytes each: recovering them is half the work of executing transfers.
    """

    hash: Hash32
    parent_hash: Hash32
    next_validators_hash: Hash32
    senders: bytes = b""


@dataclass(frozen=True, slots=True)
class BadBlock:
    """`is_final`: a quorum has signed it all the same."""

    height: int
    reason: str
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class RunResult:
    """Links of the verified blocks from the job's start on.

    There are fewer than blocks in the job when one is `bad`, or when the validators change: then the last link names
    another set, and the rest has not been looked at.
    """

    number: int
    links: tuple[BlockLink, ...]
    bad: BadBlock | None = None


class _Unlinked(DmchainError):
    """A block that a quorum has signed does not follow the one before."""


def verify_run(run: VerifyRun, is_signed: IsSigned) -> RunResult:
    """Verify block after block until one is bad or the set changes. Raises nothing."""
    links: list[BlockLink] = []
    parent = run.parent_hash
    own_hash = run.validators.hash
    for offset, wire in enumerate(run.blocks):
        height = run.start + offset
        try:
            link = verify_block(wire, height, parent, run.validators, run.chain_id, is_signed)
        except DmchainError as error:
            bad = BadBlock(height, str(error), is_final=isinstance(error, _Unlinked))
            return RunResult(run.number, tuple(links), bad)
        links.append(link)
        if link.next_validators_hash != own_hash:
            break
        parent = link.hash
    return RunResult(run.number, tuple(links))


def verify_block(
    wire: WireBlock,
    height: int,
    parent_hash: Hash32 | None,
    validators: ValidatorSet,
    chain_id: int,
    is_signed: IsSigned,
) -> BlockLink:
    """Verify one block.

    Raises DecodeError, InvalidTransaction or SignatureError when the bytes are no block of that height, and
    InvalidCertificate when the commit is not one for it; then the sender is at fault. Raises _Unlinked when a quorum
    has signed what cannot follow, or a transaction that nobody has signed.
    """
    body = decode_body(wire.block)
    header, record = body.block.header, body.facts.record
    commit = Commit.decode(wire.commit)
    if header.number != height:
        raise InvalidCertificate(f"block: expected height {height}, got {header.number}")
    if (commit.height, commit.block_hash) != (height, header.hash):
        raise InvalidCertificate(
            f"commit: expected block 0x{header.hash.hex()} of height {height}, got 0x{commit.block_hash.hex()} of"
            f" height {commit.height}"
        )
    # every signature, not just a quorum: the last commit synced goes into the next block
    verify_commit(commit, validators, is_signed)
    expectations = (
        ("parent hash", header.parent_hash, header.parent_hash if parent_hash is None else parent_hash),
        ("validators hash", record.validators_hash, validators.hash),
        ("record height", record.height, height),
        ("chain id", record.chain_id, chain_id),
    )
    for field, got, expected in expectations:
        if got != expected:
            raise _Unlinked(f"{field}: expected {_show(expected)}, got {_show(got)}, but a quorum has signed it")
    senders = _recover_senders(body.block.transactions)
    return BlockLink(header.hash, header.parent_hash, record.next_validators_hash, senders)


def _recover_senders(transactions: Sequence[Transaction]) -> bytes:
    senders = []
    for index, transaction in enumerate(transactions):
        try:
            senders.append(transaction.sender)
        except (SignatureError, InvalidTransaction) as error:
            raise _Unlinked(f"transaction {index}: {error}, but a quorum has signed the block") from error
    return b"".join(senders)


def _show(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
