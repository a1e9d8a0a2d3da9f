"""A validator on a devnet of one node: the native staking contract as a genesis with validators would have set it."""

from __future__ import annotations

from dmchain.chain.genesis_staking import GenesisStaking, GenesisValidator, make_storage
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.types import Address
from dmchain.chain.staking.parameters import StakingParameters
from dmchain.market import Market
from tests.market.world import World

STAKING = "0x000000000000000000000000000000000000da03"


def make_validator(world: World, operator: Market, stake: int) -> None:
    """Let `operator` have bonded `stake` wei with itself; the disputes' contract may slash it, as on every network."""
    disputes = bytes.fromhex(operator.contract_address("DisputeResolution")[2:])
    public_key = PrivateKey(b"\x31" * 32).public_key
    validator = GenesisValidator(Address(bytes.fromhex(operator.address()[2:])), public_key, stake)
    staking = GenesisStaking(
        (validator,), StakingParameters(dispute_contract=Address(disputes), minimum_self_stake=stake)
    )
    for slot, value in make_storage(staking, world.now()):
        world.devnet.call("anvil_setStorageAt", STAKING, hex(slot), f"0x{value:064x}")
    world.devnet.call("anvil_setBalance", STAKING, hex(stake))


def validator_stake(operator: Market) -> int:
    """What it still has bonded with itself, in wei."""
    answer = operator.call("Staking", "validator", operator.address())
    return int(answer["selfStake"])
