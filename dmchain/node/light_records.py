"""What `dm_getCommit`, `dm_getRecord` and `dm_getValidators` answer, from the database."""

from __future__ import annotations

from collections.abc import Callable

from dmchain.chain.blockchain import ChainView
from dmchain.chain.consensus.body import Stored
from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.node.validator_sets import read_validators
from dmchain.rpc.backend import CommitInfo, RecordInfo, ValidatorSetInfo

FindValidators = Callable[[ChainView, int], ValidatorSet | None]
"""Who signs a height, by a view whose head is at most one below it."""


def validators_in_state(view: ChainView, height: int) -> ValidatorSet | None:
    """As the staking contract has them at the head."""
    return read_validators(view.snapshot, height)


class LightRecords:
    """`rpc.backend.Consensus` over the chain's view of the moment."""

    def __init__(self, view: Callable[[], ChainView], find_validators: FindValidators = validators_in_state) -> None:
        self._view = view
        self._find_validators = find_validators

    def commit(self, height: int) -> CommitInfo | None:
        """The canonical commit, which is in the next block; of the head the one this node decided with."""
        view = self._view()
        header = view.blocks.header(height)
        if header is None:
            return None
        following, own = _stored(view, height + 1), _stored(view, height)
        commit = None if following is None else following.facts.last_commit
        is_canonical = commit is not None
        if commit is None and own is not None:
            commit = own.seen_commit
        if commit is None:
            return None
        return CommitInfo(height, header.hash, header.encode(), commit.round, commit.signatures, is_canonical)

    def record(self, height: int) -> RecordInfo | None:
        view = self._view()
        header, stored = view.blocks.header(height), _stored(view, height)
        if header is None or stored is None:
            return None
        record = stored.facts.record
        return RecordInfo(
            height=height,
            block_hash=header.hash,
            root=record.root(),
            version=record.version,
            chain_id=record.chain_id,
            timestamp_ms=record.timestamp_ms,
            epoch=record.epoch,
            proposer=record.proposer,
            validators_hash=record.validators_hash,
            next_validators_hash=record.next_validators_hash,
            last_commit_hash=record.last_commit_hash,
            evidence_hash=record.evidence_hash,
            params_hash=record.params_hash,
            randao_reveal=record.randao_reveal,
            minimum_software=record.minimum_software,
        )

    def validators(self, height: int) -> ValidatorSetInfo | None:
        view = self._view()
        if not 1 <= height <= view.head.number + 1:
            return None
        found = self._find_validators(view, height)
        if found is None:
            return None
        members = tuple([(validator.address, validator.power) for validator in found.validators])
        return ValidatorSetInfo(height, found.hash, found.total, found.quorum, members)


def _stored(view: ChainView, height: int) -> Stored | None:
    raw = view.blocks.record(height)
    return Stored.decode(raw) if raw else None
