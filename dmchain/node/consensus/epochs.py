"""Which validators sign which height."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dmchain.chain.blockchain import Blockchain, ChainView
from dmchain.chain.consensus.evidence import ChainEvidence
from dmchain.chain.consensus.proposer import ProposerSchedule
from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.errors import InvariantBroken
from dmchain.chain.primitives.types import Address
from dmchain.chain.staking.epochs import find_epoch, load_members, to_validator_set
from dmchain.chain.staking.layout import Onions
from dmchain.chain.staking.readers import is_candidate, is_punishable, read_onions
from dmchain.chain.staking.slots import GetStorage, ReadSlots, load_parameters
from dmchain.marketplace_vm.state import read_slot

MAX_LOADED = 8
"""Validator sets kept in memory: that of the head, the next, and those that evidence is about."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """The set of an epoch, its proposers, and the height it begins at."""

    number: int
    first_height: int
    validators: ValidatorSet
    proposers: ProposerSchedule
    turn_height: int
    """The height whose round 0 is the schedule's first turn."""

    def proposer(self, height: int, round: int) -> int:
        """Index of the proposer; `height` at or after `turn_height`."""
        return self.proposers.at(height - self.turn_height + round)


class Epochs(Protocol):
    """Asked for heights up to the head's plus two; past ones as far back as evidence may reach."""

    def at(self, height: int) -> Epoch:
        """The epoch that signs `height`. Raises InvariantBroken where `find` returns None."""
        ...

    def find(self, height: int) -> Epoch | None:
        """The epoch that signs `height`, None when its set is not kept any more."""
        ...

    def next_after(self, height: int) -> ValidatorSet:
        """The set that signs `height` + 1, which the record of `height` announces."""
        ...

    def is_punishable(self, evidence: ChainEvidence, timestamp: int) -> bool:
        """Whether evidence, which has been verified, would have an effect in a block after the head."""
        ...

    def onions(self, consensus: Address) -> Onions:
        """The randao onions of a consensus key at the head; all zero when it has none."""
        ...

    def may_validate(self, consensus: Address) -> bool:
        """Whether the key is of the set after the head or the next one, or of a candidate with a seat."""
        ...


class StateEpochs:
    """The epochs that the staking contract announces: a set is known one block before it signs.

    May be asked from any thread: what is remembered of heights belongs to one view of the chain. The schedules of
    proposers are for the event loop alone.
    """

    def __init__(self, chain: Blockchain) -> None:
        self._chain = chain
        self._known: tuple[ChainView, dict[int, Epoch | None]] = (chain.view, {})
        self._loaded: dict[tuple[int, int], Epoch] = {}
        """By (epoch, turn height), which decide everything else."""

    def find(self, height: int) -> Epoch | None:
        view = self._chain.view
        of_view, known = self._known
        if of_view is not view:
            known = {}
            self._known = (view, known)
        if height not in known:
            known[height] = self._load(view, height)
        return known[height]

    def _load(self, view: ChainView, height: int) -> Epoch | None:
        slots = ReadSlots(_storage_of(view))
        parameters = load_parameters(slots)
        header = None if parameters is None else find_epoch(slots, parameters, height)
        if parameters is None or header is None:
            return None
        key = (header.number, header.priority_height)
        epoch = self._loaded.get(key)
        if epoch is None:
            members = load_members(slots, parameters, header)
            validators = to_validator_set(members)
            schedule = ProposerSchedule(validators.powers, [member.priority for member in members])
            epoch = Epoch(header.number, header.first_height, validators, schedule, header.priority_height)
            self._loaded = dict(list(self._loaded.items())[1 - MAX_LOADED :]) | {key: epoch}
        return epoch

    def at(self, height: int) -> Epoch:
        epoch = self.find(height)
        if epoch is None:
            raise InvariantBroken(f"the validator set of height {height} is not in the state")
        return epoch

    def next_after(self, height: int) -> ValidatorSet:
        return self.at(height + 1).validators

    def is_punishable(self, evidence: ChainEvidence, timestamp: int) -> bool:
        view = self._chain.view
        return is_punishable(_storage_of(view), evidence, view.head.number + 1, timestamp)

    def onions(self, consensus: Address) -> Onions:
        return read_onions(_storage_of(self._chain.view), consensus)

    def may_validate(self, consensus: Address) -> bool:
        view = self._chain.view
        height = view.head.number + 1
        if any(self.at(each).validators.index_of(consensus) is not None for each in (height, height + 1)):
            return True
        return is_candidate(_storage_of(view), consensus)


def _storage_of(view: ChainView) -> GetStorage:
    state = view.snapshot
    return lambda address, slot: read_slot(state, address, slot)
