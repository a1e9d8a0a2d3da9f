"""slashForData: what a provider that lost a dispute pays, and to whom."""

from __future__ import annotations

from dmchain.chain.staking import STAKING
from dmchain.chain.staking.parameters import WAD
from dmchain.chain.staking.readers import read_totals
from dmchain.marketplace_vm.precompiles.staking_interface import WHOLE_STAKE
from tests.marketplace_vm.staking.rig import DISPUTES, ETHER, StakingChain, account
from tests.marketplace_vm.staking.test_slashing import punish, twenty

VICTIMS = [account("anna"), account("bert"), account("carl")]


def prepared(**changes: int) -> StakingChain:
    chain = StakingChain(**changes)
    chain.accounts |= {DISPUTES, *VICTIMS}
    chain.do("dora", "delegate", account("v0"), value=10 * ETHER)
    chain.block()
    return chain


def test_only_the_dispute_contract_of_genesis_may_slash() -> None:
    chain = prepared()
    error = chain.fail("v0", "slashForData", account("v1"), 1, [])
    assert error == ("NotDisputeContract", "0x" + account("v0").hex(), "0x" + DISPUTES.hex())
    nobody = StakingChain(dispute_contract=bytes(20))
    assert nobody.fail(bytes(20), "slashForData", account("v1"), 1, [])[0] == "NotDisputeContract"
    assert nobody.fail(DISPUTES, "slashForData", account("v1"), 1, [])[0] == "NotDisputeContract"


def test_the_provider_pays_and_its_delegators_do_not() -> None:
    chain = prepared()
    balances = [chain.machine.get_balance(each) for each in VICTIMS]
    outcome = chain.do(DISPUTES, "slashForData", account("v0"), 3 * ETHER + 2, VICTIMS)
    assert int.from_bytes(outcome.output, "big") == 3 * ETHER + 2
    assert len(outcome.logs) == 4
    gained = [chain.machine.get_balance(each) - was for each, was in zip(VICTIMS, balances, strict=True)]
    assert gained == [ETHER + 2, ETHER, ETHER]  # the first gets what the division leaves
    assert chain.stake_of("v0") == 7 * ETHER - 2
    assert chain.stake_of("v0", "dora") == 10 * ETHER
    assert read_totals(chain.get_storage).burned == 0


def test_without_beneficiaries_it_is_burned() -> None:
    chain = prepared()
    chain.do(DISPUTES, "slashForData", account("v0"), ETHER, [])
    assert read_totals(chain.get_storage).burned == ETHER
    assert chain.machine.get_balance(STAKING) == 49 * ETHER


def test_stake_on_its_way_out_is_reached_latest_first() -> None:
    chain = prepared()
    chain.do("v0", "undelegate", account("v0"), 2 * ETHER)
    chain.do("v0", "delegate", account("v1"), value=5 * ETHER)
    chain.do("v0", "undelegate", account("v1"), 5 * ETHER)  # of another pool: not the provider's
    chain.do("v0", "undelegate", account("v0"), 3 * ETHER)
    outcome = chain.do(DISPUTES, "slashForData", account("v0"), 9 * ETHER, VICTIMS[:1])
    assert int.from_bytes(outcome.output, "big") == 9 * ETHER
    assert [each[1] for each in chain.see("unbondings", account("v0"))] == [ETHER, 5 * ETHER, 0]
    assert chain.stake_of("v0") == 0
    outcome = chain.do(DISPUTES, "slashForData", account("v0"), 9 * ETHER, VICTIMS[:1])
    assert int.from_bytes(outcome.output, "big") == ETHER  # all that was left
    outcome = chain.do(DISPUTES, "slashForData", account("v0"), 9 * ETHER, VICTIMS)
    assert int.from_bytes(outcome.output, "big") == 0
    chain.block(1_000)
    assert int.from_bytes(chain.do("v0", "withdrawUnbonded").output, "big") == 5 * ETHER
    assert chain.stake_of("v0", "dora") == 10 * ETHER


def test_a_provider_slashed_below_the_minimum_is_not_chosen_again() -> None:
    chain = prepared()
    chain.do(DISPUTES, "slashForData", account("v0"), 9 * ETHER + 1, [])
    chain.next_epoch()
    assert chain.names_at(chain.number + 1, ["v0", "v1"]) == {"v1"}


def test_arguments_that_make_no_sense_are_refused() -> None:
    chain = prepared()
    assert chain.fail(DISPUTES, "slashForData", account("v0"), 0, []) == ("ZeroAmount",)
    assert chain.fail(DISPUTES, "slashForData", account("nobody"), 1, [])[0] == "UnknownValidator"
    for bad in (bytes(20), STAKING):
        error = chain.fail(DISPUTES, "slashForData", account("v0"), 1, [VICTIMS[0], bad])
        assert error == ("InvalidBeneficiary", "0x" + bad.hex())
    assert chain.fail(DISPUTES, "slashForData", account("v0"), 1, VICTIMS * 22) == ("TooManyBeneficiaries", 66, 64)
    many = [account(f"victim {n}") for n in range(64)]
    chain.accounts |= set(many)
    chain.do(DISPUTES, "slashForData", account("v0"), 63, many)
    assert [chain.machine.get_balance(each) for each in many] == [63] + [0] * 63


def test_what_a_double_signing_takes_comes_before_what_a_dispute_takes() -> None:
    chain = twenty()
    chain.accounts.add(DISPUTES)
    chain.next_epoch()
    chain.block()
    height = chain.number
    chain.do("v0", "undelegate", account("v0"), 4 * ETHER)
    (notice,) = punish(chain, "v0", height=height)
    kept = 4 * ETHER - -(-4 * ETHER * notice.fraction // WAD)
    bonded = chain.stake_of("v0")
    outcome = chain.do(DISPUTES, "slashForData", account("v0"), 100 * ETHER, [])
    assert int.from_bytes(outcome.output, "big") == bonded + kept
    assert chain.see("unbondings", account("v0"))[0][1] == 0
    chain.block(1_000)
    assert int.from_bytes(chain.do("v0", "withdrawUnbonded").output, "big") == 0


def test_part_of_an_entry_is_slashed_once_for_each_reason() -> None:
    chain = twenty()
    chain.accounts.add(DISPUTES)
    chain.next_epoch()
    chain.block()
    height = chain.number
    chain.do("v0", "undelegate", account("v0"), WHOLE_STAKE)
    chain.do(DISPUTES, "slashForData", account("v0"), 2 * ETHER, [])
    (notice,) = punish(chain, "v0", height=height)
    kept = 8 * ETHER - -(-8 * ETHER * notice.fraction // WAD)
    assert chain.see("unbondings", account("v0"))[0][1] == kept
    chain.do(DISPUTES, "slashForData", account("v0"), ETHER, [])
    assert chain.see("unbondings", account("v0"))[0][1] == kept - ETHER


def test_a_withdrawal_that_a_dispute_took_from_owes_its_former_validator_no_more_than_is_left() -> None:
    chain = twenty()
    chain.accounts.add(DISPUTES)
    chain.do("v1", "delegate", account("v0"), value=10 * ETHER)
    chain.next_epoch()
    chain.block()
    height = chain.number
    chain.do("v1", "redelegate", account("v0"), account("v1"), WHOLE_STAKE)
    chain.do("v1", "undelegate", account("v1"), WHOLE_STAKE)
    whole = chain.see("unbondings", account("v1"))[0][1]
    chain.do(DISPUTES, "slashForData", account("v1"), whole - 3, [])
    (notice,) = punish(chain, "v0", height=height)
    assert chain.see("unbondings", account("v1"))[0][1] == 3 - -(-3 * notice.fraction // WAD) == 2
    (notice,) = punish(chain, "v1", height=height)
    chain.do(DISPUTES, "slashForData", account("v1"), 1, [])
    assert chain.see("unbondings", account("v1"))[0][1] == 0
