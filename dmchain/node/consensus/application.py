"""What consensus decides about: builds blocks, checks those of others, commits the decided one.

`build`, `validate` and `commit` are called by one worker; everything else belongs to the event loop. A block is
executed once: the result is kept by hash until its height is decided.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from dmchain.chain.blockchain import BlockPlan, ExecutedBlock
from dmchain.chain.consensus.body import MAX_EVIDENCE, Body, Facts, Stored, decode_body
from dmchain.chain.consensus.certificates import InvalidCertificate
from dmchain.chain.consensus.commit import Commit, verify_commit
from dmchain.chain.consensus.evidence import ChainEvidence, InvalidEvidence, compute_evidence_hash, verify_evidence
from dmchain.chain.consensus.messages import Candidate, CommitCertificate
from dmchain.chain.consensus.record import Record, compute_mix
from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.consensus.timing import ConsensusParams
from dmchain.chain.primitives.block import Header
from dmchain.chain.primitives.codec import peek_first
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import DecodeError, DmchainError, InvalidBlock
from dmchain.chain.primitives.types import ZERO_HASH, Address, Hash32
from dmchain.chain.staking.facts import ConsensusFacts
from dmchain.chain.staking.layout import Onions
from dmchain.node.consensus.epochs import Epochs
from dmchain.node.production import EXTRA_DATA, Candidates, Producer

log = logging.getLogger("dmchain.consensus")

MAX_EXECUTED: Final = 8
"""Candidates of one height whose results are kept; a height has one or two."""
MAX_DECODED: Final = 4
"""Decoded bodies that are kept: a proposal is met again when it is checked and when it is decided."""
LAYERS_TO_WARN_AT: Final = (25_000, 2_500, 250, 1)
"""Of the randao onion under way."""


def peek_hash(raw: bytes) -> Hash32:
    """The name that a body claims, from its header alone: cheap, whatever else is in there. Raises DecodeError.

    Only `Application.decode` says whether the body is what that header commits to.
    """
    return keccak(peek_first(peek_first(raw)))


class Reveals(Protocol):
    """Knows the layers of this node's randao onions."""

    def next_reveal(self, onions: Onions) -> Hash32 | None:
        """The preimage of `onions.anchor`; None when this node does not know it."""
        ...


@dataclass(frozen=True, slots=True)
class Draft:
    """What this node's block on `parent` would say."""

    parent: Hash32
    plan: BlockPlan
    facts: Facts


class Application:
    """The chain as consensus sees it."""

    def __init__(
        self,
        producer: Producer,
        epochs: Epochs,
        params: ConsensusParams,
        checker: SignatureChecker,
        proposer: Address,
        *,
        clock: Callable[[], float],
        reveals: Reveals | None = None,
    ) -> None:
        """`proposer` is the address of this node's consensus key; `clock` gives seconds since the epoch. Without
        `reveals` this node can propose only while the chain expects none from it."""
        self.producer = producer
        self.chain = producer.chain
        self.epochs = epochs
        self.params = params
        self._evidence: dict[Address, ChainEvidence] = {}
        """By offender, whom one piece is enough to punish: what may go into a block of this node."""
        self._checker = checker
        self._proposer = proposer
        self._clock = clock
        self._reveals = reveals
        self._executed: OrderedDict[Hash32, tuple[ExecutedBlock, Facts]] = OrderedDict()
        self._decoded: OrderedDict[bytes, Body] = OrderedDict()

    # -- what is known of the head -------------------------------------------------------------------------------
    def stored(self, height: int) -> Stored | None:
        raw = self.chain.view.blocks.record(height)
        return Stored.decode(raw) if raw else None

    def head_milliseconds(self) -> int:
        stored = self.stored(self.chain.head.number)
        return self.chain.head.timestamp * 1000 if stored is None else stored.facts.record.timestamp_ms

    def seen_commit(self, height: int) -> Commit | None:
        stored = self.stored(height)
        return None if stored is None else stored.seen_commit

    def decided(self, height: int) -> tuple[Candidate, Commit] | None:
        """A decided block with the commit it was decided with, for peers that lack it."""
        block, stored = self.chain.view.blocks.block(height), self.stored(height)
        if block is None or stored is None or stored.seen_commit is None:
            return None
        return Body(block, stored.facts).candidate(), stored.seen_commit

    # -- decoding ------------------------------------------------------------------------------------------------
    def decode(self, raw: bytes) -> Body:
        """Remembers the last ones. Raises DecodeError, also when the body is not what its header commits to."""
        body = self._decoded.get(raw)
        if body is None:
            body = self._decoded[raw] = _decode(raw)
            while len(self._decoded) > MAX_DECODED:
                self._decoded.popitem(last=False)
        return body

    def record_of(self, candidate: Candidate) -> Record:
        return self.decode(candidate.body).facts.record

    # -- evidence ------------------------------------------------------------------------------------------------
    def add_evidence(self, evidence: ChainEvidence) -> None:
        """Take what the core has proven, of this height or the one before it."""
        epoch = self.epochs.find(evidence.height)
        if epoch is not None:
            offender = epoch.validators.validators[evidence.validator].address
            self._evidence.setdefault(offender, evidence)

    def useful_evidence(self) -> tuple[ChainEvidence, ...]:
        """What a block on the head should carry: of decided heights, and not punished yet."""
        head = self.chain.head
        useful = [
            item
            for item in self._evidence.values()
            if item.height <= head.number and self.epochs.is_punishable(item, head.timestamp)
        ]
        return tuple(useful[:MAX_EVIDENCE])

    def _forget_evidence(self) -> None:
        """Drop what has been punished, by this evidence or other, and what is too old."""
        head = self.chain.head
        self._evidence = {
            offender: item
            for offender, item in self._evidence.items()
            if item.height > head.number or self.epochs.is_punishable(item, head.timestamp)
        }

    # -- building ------------------------------------------------------------------------------------------------
    def draft(self, last_commit: CommitCertificate | None) -> Draft | None:
        """Decide everything about a block on the head but its transactions; None when nobody would take a block of
        this node, because it does not know what it has to reveal."""
        parent = self.chain.head
        reveal = self._next_reveal()
        if reveal is None:
            log.error(
                "no block proposed: the randao seed of this validator does not fit what it has registered",
                extra={"height": parent.number + 1},
            )
            return None
        height = parent.number + 1
        epoch = self.epochs.at(height)
        milliseconds = max(
            int(self._clock() * 1000),
            self.head_milliseconds() + 1,
            parent.timestamp * 1000,
        )
        commit = None
        if last_commit is not None:
            commit = Commit.from_certificate(last_commit, len(self.epochs.at(height - 1).validators))
        evidence = self.useful_evidence()
        record = Record(
            chain_id=self.chain.rules.chain_id,
            height=height,
            timestamp_ms=milliseconds,
            epoch=epoch.number,
            proposer=self._proposer,
            validators_hash=epoch.validators.hash,
            next_validators_hash=self.epochs.next_after(height).hash,
            last_commit_hash=ZERO_HASH if commit is None else commit.hash,
            evidence_hash=compute_evidence_hash(evidence),
            params_hash=self.params.hash,
            randao_reveal=reveal,
        )
        facts = Facts(record, commit, evidence)
        config = self.producer.config
        plan = BlockPlan(
            timestamp=milliseconds // 1000,
            coinbase=config.coinbase,
            prev_randao=compute_mix(parent.prev_randao, record.randao_reveal),
            parent_beacon_block_root=record.root(),
            gas_limit=config.gas_limit,
            extra_data=EXTRA_DATA,
            consensus=_hook_facts(facts),
        )
        return Draft(parent.hash, plan, facts)

    def prepare_reveals(self) -> None:
        """Make this validator's randao onion before its first turn: hundreds of thousands of hashes."""
        self._next_reveal()

    def _next_reveal(self) -> Hash32 | None:
        onions = self.epochs.onions(self._proposer)
        if onions.left == 0:
            return ZERO_HASH
        if onions.left in LAYERS_TO_WARN_AT:
            log.warning(
                "randao: %d layers left, then this validator's blocks reveal nothing; `dmchain stake randao` registers more",
                onions.left,
            )
        return None if self._reveals is None else self._reveals.next_reveal(onions)

    def build(self, draft: Draft, offer: Candidates) -> Candidate | None:
        """Execute a block; None when the head has moved on. What comes back is valid here by construction."""
        if draft.parent != self.chain.head.hash:
            return None
        executed = self.producer.build(draft.plan, offer)
        candidate = Body(executed.block, draft.facts).candidate()
        self._keep(executed, draft.facts)
        return candidate

    # -- checking ------------------------------------------------------------------------------------------------
    def validate(self, candidate: Candidate) -> str | None:
        """Check and execute a block of another validator; return why it is invalid, None when it is not."""
        if candidate.hash in self._executed:
            self._executed.move_to_end(candidate.hash)
            return None
        try:
            body = self._decoded.get(candidate.body) or _decode(candidate.body)
            self._validate_facts(body)
            self.producer.share_senders(body.block.transactions)
            executed = self.chain.execute(body.block, _hook_facts(body.facts))
        except (InvalidBlock, InvalidCertificate, InvalidEvidence, DecodeError) as error:
            return str(error)
        self._keep(executed, body.facts)
        return None

    def _validate_facts(self, body: Body) -> None:
        parent, header, record = self.chain.head, body.block.header, body.facts.record
        height = parent.number + 1
        if header.number != height or header.parent_hash != parent.hash:
            raise InvalidBlock(f"block {header.number} does not follow the head, block {parent.number}")
        epoch = self.epochs.at(height)
        expected = Record(
            chain_id=self.chain.rules.chain_id,
            height=height,
            timestamp_ms=record.timestamp_ms,
            epoch=epoch.number,
            proposer=record.proposer,
            validators_hash=epoch.validators.hash,
            next_validators_hash=self.epochs.next_after(height).hash,
            last_commit_hash=record.last_commit_hash,
            evidence_hash=record.evidence_hash,
            params_hash=self.params.hash,
            randao_reveal=record.randao_reveal,  # the staking hooks compare it with the state
        )
        for name in Record.__slots__:
            if getattr(record, name) != getattr(expected, name):
                raise InvalidBlock(
                    f"record {name}: got {getattr(record, name)!r}, expected {getattr(expected, name)!r}"
                )
        if epoch.validators.index_of(record.proposer) is None:
            raise InvalidBlock(f"record proposer: 0x{record.proposer.hex()} is no validator of height {height}")
        if record.timestamp_ms <= self.head_milliseconds():
            raise InvalidBlock(f"record timestamp_ms: got {record.timestamp_ms}, expected more than the parent's")
        self._validate_header(header, record, parent)
        self._validate_last_commit(body.facts, parent)
        self._validate_evidence(body.facts, height)

    def _validate_header(self, header: Header, record: Record, parent: Header) -> None:
        if header.timestamp != record.timestamp_ms // 1000:
            raise InvalidBlock(f"timestamp: got {header.timestamp}, expected {record.timestamp_ms // 1000}")
        mix = compute_mix(parent.prev_randao, record.randao_reveal)
        if header.prev_randao != mix:
            raise InvalidBlock(f"prev_randao: got 0x{header.prev_randao.hex()}, expected 0x{mix.hex()}")

    def _validate_last_commit(self, facts: Facts, parent: Header) -> None:
        commit = facts.last_commit
        if parent.number == 0:
            if commit is not None:
                raise InvalidBlock("last commit: expected none at height 1")
            return
        if commit is None:
            raise InvalidBlock(f"last commit: missing, expected that of height {parent.number}")
        if (commit.height, commit.block_hash) != (parent.number, parent.hash):
            raise InvalidBlock(
                f"last commit: got block 0x{commit.block_hash.hex()} of height {commit.height}, expected the parent"
            )
        verify_commit(commit, self.epochs.at(parent.number).validators, self._checker.is_signed)

    def _validate_evidence(self, facts: Facts, height: int) -> None:
        seen: set[bytes] = set()
        for item in facts.evidence:
            raw = item.encode()
            if raw in seen:
                raise InvalidBlock("evidence: the same offence twice")
            if not 1 <= item.height < height:
                raise InvalidBlock(f"evidence: of height {item.height}, expected 1 to {height - 1}")
            seen.add(raw)
            epoch = self.epochs.find(item.height)
            if epoch is None:  # no invariant is broken: proposers may write what they like
                raise InvalidBlock(f"evidence: of height {item.height}, whose validators are not known any more")
            verify_evidence(item, epoch.validators, self._checker.is_signed)

    def verify_commit(self, commit: Commit, block_hash: Hash32) -> None:
        """Raises InvalidCertificate unless the commit makes that block final on the head."""
        height = self.chain.head.number + 1
        if (commit.height, commit.block_hash) != (height, block_hash):
            raise InvalidCertificate(f"commit: of height {commit.height}, expected that of block {height}")
        verify_commit(commit, self.epochs.at(height).validators, self._checker.is_signed)

    # -- deciding ------------------------------------------------------------------------------------------------
    def commit(self, candidate: Candidate, commit: Commit) -> ExecutedBlock:
        """Make a block the head: on disk, with its commit, when this returns.

        Raises InvalidBlock for one that was not found valid before.
        """
        if candidate.hash not in self._executed:  # many rounds ago; others have taken its place
            reason = self.validate(candidate)
            if reason is not None:
                raise InvalidBlock(reason)
        executed, facts = self._executed[candidate.hash]
        self.chain.commit(executed, Stored(facts, commit).encode())
        self._executed.clear()
        return executed

    def follow_head(self) -> None:
        """After a commit: forget what belonged to the height before."""
        self._decoded.clear()
        if self._evidence:
            self._forget_evidence()

    def _keep(self, executed: ExecutedBlock, facts: Facts) -> None:
        self._executed[executed.block.hash] = (executed, facts)
        while len(self._executed) > MAX_EXECUTED:
            self._executed.popitem(last=False)


def _decode(raw: bytes) -> Body:
    try:
        return decode_body(raw)
    except DmchainError as error:
        raise DecodeError(f"body: {error}") from error


def _hook_facts(facts: Facts) -> ConsensusFacts:
    """What the staking hooks are told."""
    return ConsensusFacts(facts.record.proposer, facts.last_commit, facts.evidence, facts.record.randao_reveal)
