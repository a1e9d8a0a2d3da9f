"""Validator sets as a view of the state has them."""

from __future__ import annotations

from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.errors import InvariantBroken
from dmchain.chain.staking import STAKING
from dmchain.chain.staking.epochs import find_epoch, load_members, to_validator_set
from dmchain.chain.staking.slots import load_parameters
from dmchain.chain.store.kv import Reader
from dmchain.marketplace_vm.state import read_slot


class StakingSlots:
    """The staking contract's storage, to be read only."""

    def __init__(self, state: Reader) -> None:
        self._state = state

    def load(self, slot: int) -> int:
        return read_slot(self._state, STAKING, slot)

    def store(self, slot: int, value: int) -> None:
        raise InvariantBroken("the staking contract is read here, not written")


def read_validators(state: Reader, height: int) -> ValidatorSet | None:
    """Who signs `height`, as `state` knows: of the next height, and of those an unbonding period back.

    None where nobody stakes, or the height is too old. The set has no public keys.
    """
    slots = StakingSlots(state)
    parameters = load_parameters(slots)
    epoch = None if parameters is None else find_epoch(slots, parameters, height)
    if parameters is None or epoch is None:
        return None
    return to_validator_set(load_members(slots, parameters, epoch))
