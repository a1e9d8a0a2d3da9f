"""What consensus decides about: builds blocks, checks those of others, commits the decided one.

Its methods that execute run in one worker thread at a time. A block is executed once: the result is kept by hash until
its height is decided.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

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
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import DecodeError, DmchainError, InvalidBlock
from dmchain.chain.primitives.types import ZERO_HASH, Address, Hash32
from dmchain.chain.staking.facts import ConsensusFacts
from dmchain.node.consensus.epochs import Epochs, StateEpochs
from dmchain.node.production import EXTRA_DATA, Candidates, Producer

MAX_EXECUTED = 8
"""Candidates of one height whose results are kept; a height has one or two."""
MAX_DECODED = 16


def compute_reveal(height: int, parent: Hash32) -> Hash32:
    """The randao reveal of a block: the same for whoever builds on that parent."""
    return keccak(b"dmchain reveal" + height.to_bytes(8, "big") + parent)


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
    ) -> None:
        """`proposer` is the address of this node's consensus key; `clock` gives seconds since the epoch."""
        self.producer = producer
        self.chain = producer.chain
        self.epochs = epochs
        self.params = params
        self.evidence: OrderedDict[bytes, ChainEvidence] = OrderedDict()
        """By encoding: what may go into the next block this node builds."""
        self._checker = checker
        self._proposer = proposer
        self._clock = clock
        self._has_staking = isinstance(epochs, StateEpochs)
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
    def hash_body(self, raw: bytes) -> Hash32:
        """The name of a body; remembers what it decoded. Raises DecodeError."""
        return self.decode(raw).block.hash

    def decode(self, raw: bytes) -> Body:
        body = self._decoded.get(raw)
        if body is None:
            try:
                body = decode_body(raw)
            except DmchainError as error:
                raise DecodeError(f"body: {error}") from error
            self._decoded[raw] = body
            while len(self._decoded) > MAX_DECODED:
                self._decoded.popitem(last=False)
        return body

    def timestamp_of(self, candidate: Candidate) -> int:
        """Milliseconds."""
        return self.decode(candidate.body).facts.record.timestamp_ms

    # -- building ------------------------------------------------------------------------------------------------
    def plan(self, last_commit: CommitCertificate | None) -> tuple[BlockPlan, Facts]:
        """What this node's block on the head would say."""
        parent = self.chain.head
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
        evidence = tuple(list(self.evidence.values())[:MAX_EVIDENCE])
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
            randao_reveal=compute_reveal(height, parent.hash),
        )
        config = self.producer.config
        plan = BlockPlan(
            timestamp=milliseconds // 1000,
            coinbase=config.coinbase,
            prev_randao=compute_mix(parent.prev_randao, record.randao_reveal),
            parent_beacon_block_root=record.root(),
            gas_limit=config.gas_limit,
            extra_data=EXTRA_DATA,
            consensus=self._hook_facts(Facts(record, commit, evidence)),
        )
        return plan, Facts(record, commit, evidence)

    def _hook_facts(self, facts: Facts) -> ConsensusFacts | None:
        """What the staking hooks are told; None on a chain whose validators are fixed."""
        if not self._has_staking:
            return None
        return ConsensusFacts(facts.record.proposer, facts.last_commit, facts.evidence)

    def build(self, plan: BlockPlan, facts: Facts, offer: Candidates) -> Candidate:
        """Execute a block; what comes back is valid here by construction."""
        executed = self.producer.build(plan, offer)
        candidate = Body(executed.block, facts).candidate()
        self._keep(executed, facts)
        return candidate

    # -- checking ------------------------------------------------------------------------------------------------
    def validate(self, candidate: Candidate) -> str | None:
        """Check and execute a block of another validator; return why it is invalid, None when it is not."""
        if candidate.hash in self._executed:
            return None
        try:
            body = self.decode(candidate.body)
            self._validate_facts(body)
            self.producer.share_senders(body.block.transactions)
            executed = self.chain.execute(body.block, self._hook_facts(body.facts))
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
            randao_reveal=compute_reveal(height, parent.hash),
        )
        for name in Record.__slots__:
            if getattr(record, name) != getattr(expected, name):
                raise InvalidBlock(f"record {name}: got {getattr(record, name)!r}, expected {getattr(expected, name)!r}")
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
            verify_evidence(item, self.epochs.at(item.height).validators, self._checker.is_signed)

    def verify_commit(self, commit: Commit, block_hash: Hash32) -> None:
        """Raises InvalidCertificate unless the commit makes that block final on the head."""
        height = self.chain.head.number + 1
        if (commit.height, commit.block_hash) != (height, block_hash):
            raise InvalidCertificate(f"commit: of height {commit.height}, expected that of block {height}")
        verify_commit(commit, self.epochs.at(height).validators, self._checker.is_signed)

    # -- deciding ------------------------------------------------------------------------------------------------
    def executed(self, block_hash: Hash32) -> ExecutedBlock | None:
        found = self._executed.get(block_hash)
        return None if found is None else found[0]

    def commit(self, block_hash: Hash32, commit: Commit) -> ExecutedBlock:
        """Make an executed block the head: on disk, with its commit, when this returns."""
        executed, facts = self._executed[block_hash]
        self.chain.commit(executed, Stored(facts, commit).encode())
        self._executed.clear()
        self._decoded.clear()
        for item in facts.evidence:
            self.evidence.pop(item.encode(), None)
        return executed

    def _keep(self, executed: ExecutedBlock, facts: Facts) -> None:
        self._executed[executed.block.hash] = (executed, facts)
        while len(self._executed) > MAX_EXECUTED:
            self._executed.popitem(last=False)
