"""Which validators sign which height."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dmchain.chain.blockchain import Blockchain
from dmchain.chain.consensus.proposer import ProposerSchedule
from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.errors import InvariantBroken
from dmchain.chain.staking import STAKING
from dmchain.chain.staking.epochs import find_epoch, load_members, to_validator_set
from dmchain.chain.staking.slots import load_parameters
from dmchain.chain.store.kv import Reader
from dmchain.marketplace_vm.state import read_slot


@dataclass(frozen=True, slots=True)
class Epoch:
    """The set of an epoch, its proposers, and the height it begins at."""

    number: int
    first_height: int
    validators: ValidatorSet
    proposers: ProposerSchedule
    turn_height: int
    """The height whose round 0 is the schedule's first turn."""


class Epochs(Protocol):
    """Asked for heights up to the head's plus one; past ones as far back as evidence may reach."""

    def at(self, height: int) -> Epoch:
        """The epoch that signs `height`."""
        ...

    def next_after(self, height: int) -> ValidatorSet:
        """The set that signs `height` + 1, which the record of `height` announces."""
        ...


class FixedEpochs:
    """One epoch for ever: the set of genesis."""

    def __init__(self, validators: ValidatorSet) -> None:
        self._epoch = Epoch(0, 1, validators, ProposerSchedule(validators.powers), 1)

    def at(self, height: int) -> Epoch:
        return self._epoch

    def next_after(self, height: int) -> ValidatorSet:
        return self._epoch.validators


class _ReadOnlySlots:
    """The staking contract's storage in one view."""

    def __init__(self, state: Reader) -> None:
        self._state = state

    def load(self, slot: int) -> int:
        return read_slot(self._state, STAKING, slot)

    def store(self, slot: int, value: int) -> None:
        raise InvariantBroken("the staking contract is read here, not written")


class StateEpochs:
    """The epochs that the staking contract announces: a set is known one block before it signs."""

    def __init__(self, chain: Blockchain) -> None:
        self._chain = chain
        self._head: bytes = b""
        self._known: dict[int, Epoch] = {}

    def at(self, height: int) -> Epoch:
        """Raises InvariantBroken for heights so old that their set is no longer kept."""
        head = self._chain.head.hash
        if head != self._head:
            self._head = head
            self._known.clear()
        epoch = self._known.get(height)
        if epoch is None:
            epoch = self._known[height] = self._load(height)
        return epoch

    def next_after(self, height: int) -> ValidatorSet:
        return self.at(height + 1).validators

    def _load(self, height: int) -> Epoch:
        slots = _ReadOnlySlots(self._chain.view.snapshot)
        parameters = load_parameters(slots)
        header = None if parameters is None else find_epoch(slots, parameters, height)
        if parameters is None or header is None:
            raise InvariantBroken(f"the validator set of height {height} is not in the state")
        members = load_members(slots, parameters, header)
        validators = to_validator_set(members)
        schedule = ProposerSchedule(validators.powers, [member.priority for member in members])
        return Epoch(header.number, header.first_height, validators, schedule, header.priority_height)
