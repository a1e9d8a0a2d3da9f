"""Which validators sign which height."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dmchain.chain.consensus.proposer import ProposerSchedule
from dmchain.chain.consensus.validators import ValidatorSet


@dataclass(frozen=True, slots=True)
class Epoch:
    """The set of an epoch, its proposers, and the height it begins at."""

    number: int
    first_height: int
    validators: ValidatorSet
    proposers: ProposerSchedule


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
        self._epoch = Epoch(0, 1, validators, ProposerSchedule(validators.powers))

    def at(self, height: int) -> Epoch:
        return self._epoch

    def next_after(self, height: int) -> ValidatorSet:
        return self._epoch.validators
