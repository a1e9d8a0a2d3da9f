"""What goes into the staking hooks of a block, and what comes out beside the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.evidence import ChainEvidence
from dmchain.chain.primitives.types import ZERO_HASH, Address, Hash32


@dataclass(frozen=True, slots=True)
class ConsensusFacts:
    """What consensus says about a block: all of it is part of the block, and but for the reveal has been verified.

    `proposer` is the address of the consensus key whose turn the block's record names. `last_commit` is the canonical
    commit of the height before, None in block 1 alone; its signers are indices in the set of that height, which the
    state knows. `evidence` has proven itself against the sets of its heights (`readers.read_epoch_at`).
    `reveal` is the next layer of the proposer's randao onion, which the hooks check against the state.
    """

    proposer: Address
    last_commit: Commit | None
    evidence: tuple[ChainEvidence, ...] = ()
    reveal: Hash32 = ZERO_HASH


@dataclass(frozen=True, slots=True)
class Jailed:
    """A validator signed `signed` of `expected` commits, too few."""

    operator: Address
    signed: int
    expected: int
    until: int


@dataclass(frozen=True, slots=True)
class Tombstoned:
    """A validator signed twice at `height`. `fraction` (of WAD) is what all stake of then loses; `lost` wei of it were
    taken from the pool at once, of which `reward` wei went to the proposer."""

    operator: Address
    height: int
    fraction: int
    lost: int
    reward: int


@dataclass(frozen=True, slots=True)
class EpochAnnounced:
    """The next set is known: it signs from `first_height` on."""

    number: int
    first_height: int
    validators: int
    total_power: int
    validators_hash: Hash32


Notice: TypeAlias = Jailed | Tombstoned | EpochAnnounced
"""What a hook did that people want to know; hooks have no receipt to log it in."""
