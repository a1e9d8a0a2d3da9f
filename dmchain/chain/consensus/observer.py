"""When a validator that has lost its sign journal may sign again.

It may have signed anything up to some height h, and does not know h. It had decided h - 1, so precommits worth a quorum
existed there, and of those who sent them a correct one is among any validators worth more than two thirds. That one had
decided h - 2. So: learn the decided heights of validators worth more than two thirds, take the highest, and sign from
three heights above it. Until then the validator counts as faulty; it follows and never signs.

(Two above would be one too few: the one who knew h - 2 at the time may know no more now.)
"""

from __future__ import annotations

from typing import Final

from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.types import Address

OBSERVED_HEIGHTS: Final = 3


class ObserverPeriod:
    """Collects what validators have decided, until that is enough to name the height to sign from."""

    def __init__(self, own: Address) -> None:
        """`own` address does not count: this validator remembers nothing."""
        self._own = own
        self._decided: dict[Address, int] = {}

    def report(self, validator: Address, decided_height: int) -> None:
        """`validator` says, since this node has lost its journal, that it has decided `decided_height`.

        Only to be called once this node has verified that height's commit: a false claim could keep it silent for ever.
        """
        if decided_height > self._decided.get(validator, -1):
            self._decided[validator] = decided_height

    def sign_from(self, validators: ValidatorSet) -> int | None:
        """The first height that is safe to sign, None while reports are worth two thirds or less."""
        heights = []
        power = 0
        for validator in validators.validators:
            height = self._decided.get(validator.address)
            if height is not None and validator.address != self._own:
                heights.append(height)
                power += validator.power
        return max(heights) + OBSERVED_HEIGHTS if power >= validators.quorum else None


def is_journal_stale(journal_height: int, signed_heights: list[int]) -> bool:
    """Whether the journal is an old copy: commits carry own signatures of heights above its last record's.

    `signed_heights` are heights of stored commits in which this validator's signature stands.
    """
    return any(height > journal_height for height in signed_heights)
