"""What delegators and operators do, on every machine alike."""

from __future__ import annotations

from typing import Any

import pytest

from dmchain.chain.primitives.crypto import public_key_to_address
from dmchain.chain.staking import STAKING
from dmchain.chain.staking.layout import Status
from dmchain.chain.staking.parameters import COMMISSION_INTERVAL_SECONDS, MAX_STAKE, MAX_UNBONDINGS
from dmchain.chain.staking.possession import prove_possession
from dmchain.marketplace_vm.precompiles.staking_interface import WHOLE_STAKE
from tests.marketplace_vm.precompiles.native_machines import MACHINES, Machine, MemoryMachine, spec_of
from tests.marketplace_vm.staking.rig import ETHER, StakingChain, account, founder, key_of


@pytest.fixture(params=MACHINES, ids=lambda machine: machine.__name__)
def chain(request: pytest.FixtureRequest) -> StakingChain:
    made: StakingChain = StakingChain(machine=request.param())
    made.block()
    return made


def test_founders_hold_what_genesis_says(chain: StakingChain) -> None:
    assert chain.see("validatorCount") == 4
    assert chain.see("totals") == (40 * ETHER, 0, 0, 0, 0)
    seen = chain.see("validator", account("v1"))
    assert seen[:6] == ("0x" + account("v1").hex(), "0x" + key_of("v1").address.hex(), Status.ACTIVE, True, True, 0)
    assert [each[0] for each in chain.see("validators", 1, 2)] == ["0x" + account(n).hex() for n in ("v1", "v2")]
    assert chain.see("operatorOf", key_of("v3").address) == "0x" + account("v3").hex()
    assert chain.see("parameters")[0] == 100
    assert chain.see("power", account("v0")) == 10 * 10**6


def test_a_validator_registers_with_proof_of_its_key(chain: StakingChain) -> None:
    outcome = chain.register("new", 5 * ETHER, 1_000, 200)
    assert len(outcome.logs) == 2
    found = chain.validator("new")
    assert found.public_key == key_of("new").public_key
    assert found.consensus == public_key_to_address(found.public_key)
    assert (found.stake, found.self_stake, found.is_seated, found.is_in_set) == (5 * ETHER, 5 * ETHER, True, False)
    assert (found.commission_bps, found.max_commission_change_bps) == (1_000, 200)


def test_registrations_that_do_not_hold_are_refused(chain: StakingChain) -> None:
    key, proof, *rest = chain.registration("new")
    other = prove_possession(key_of("other"), chain.chain_id, account("new"))
    elsewhere = prove_possession(key_of("new"), chain.chain_id + 1, account("new"))
    for bad in (other, elsewhere, proof[:64], proof[:64] + b"\x1b", bytes(65), b"\xff" * 65, b""):
        error = chain.fail("new", "register", key, bad, *rest, value=ETHER)
        assert error == ("InvalidProof", "0x" + key_of("new").address.hex())
    assert chain.fail("thief", "register", key, proof, *rest, value=ETHER)[0] == "InvalidProof"
    assert chain.fail("new", "register", key[:63], proof, *rest, value=ETHER) == ("InvalidPublicKey", 63)
    assert chain.fail("new", "register", key, proof, 10_001, 0, value=ETHER) == ("InvalidCommission", 10_001, 0, 10_000)
    assert chain.fail("new", "register", key, proof, 0, 10_001, value=ETHER)[0] == "InvalidCommission"
    assert chain.fail("new", "register", key, proof, *rest, value=ETHER - 1) == ("SelfStakeTooLow", ETHER - 1, ETHER)
    chain.register("new", ETHER)
    assert chain.fail("new", "register", key, proof, *rest, value=ETHER)[0] == "AlreadyRegistered"
    taken = prove_possession(key_of("new"), chain.chain_id, account("late"))
    assert chain.fail("late", "register", key, taken, *rest, value=ETHER)[0] == "ConsensusKeyUsed"


def test_stake_goes_in_and_comes_out_after_the_wait(chain: StakingChain) -> None:
    chain.do("dora", "delegate", account("v0"), value=3 * ETHER)
    assert chain.stake_of("v0", "dora") == 3 * ETHER
    outcome = chain.do("dora", "undelegate", account("v0"), ETHER)
    completes_at = int.from_bytes(outcome.output, "big")
    assert completes_at == chain.now + 1_000
    assert chain.see("unbondings", account("dora")) == (("0x" + account("v0").hex(), ETHER, completes_at),)
    assert chain.see("totals")[:2] == (42 * ETHER, ETHER)
    chain.block(999)
    assert chain.fail("dora", "withdrawUnbonded") == ("NothingToWithdraw",)
    chain.block(1)
    before = chain.machine.get_balance(account("dora"))
    chain.do("dora", "withdrawUnbonded")
    assert chain.machine.get_balance(account("dora")) == before + ETHER
    assert chain.see("unbondings", account("dora")) == ()
    chain.do("dora", "undelegate", account("v0"), WHOLE_STAKE)
    assert chain.see("delegation", account("v0"), account("dora"))[:3] == (0, 0, 0)


def test_amounts_that_are_not_there_are_refused(chain: StakingChain) -> None:
    assert chain.fail("dora", "delegate", account("v0")) == ("ZeroAmount",)
    assert chain.fail("dora", "delegate", account("nobody"), value=1)[0] == "UnknownValidator"
    assert chain.fail("dora", "undelegate", account("v0"), 1) == ("InsufficientStake", 0, 1)
    assert chain.fail("dora", "undelegate", account("v0"), WHOLE_STAKE) == ("ZeroAmount",)
    assert chain.fail("v0", "undelegate", account("v0"), 10 * ETHER + 1)[0] == "InsufficientStake"
    assert chain.fail("v0", "undelegate", account("v0"), 0) == ("ZeroAmount",)
    assert chain.fail("dora", "withdrawRewards", account("v0")) == ("NothingToWithdraw",)
    assert chain.fail("v0", "withdrawCommission") == ("NothingToWithdraw",)
    assert chain.fail("dora", "withdrawCommission")[0] == "UnknownValidator"


def test_no_more_stake_than_fits_is_taken(chain: StakingChain) -> None:
    room = MAX_STAKE - 40 * ETHER
    error = chain.fail("whale", "delegate", account("v0"), value=room + 1)
    assert error == ("StakeLimitExceeded", MAX_STAKE + 1, MAX_STAKE)
    chain.do("whale", "delegate", account("v0"), value=room)
    chain.next_epoch()
    assert chain.epoch_at(chain.number + 1).validators.total < 2**63


def test_a_queue_is_capped(chain: StakingChain) -> None:
    for _ in range(MAX_UNBONDINGS):
        chain.do("v0", "undelegate", account("v0"), 1)
    assert chain.fail("v0", "undelegate", account("v0"), 1) == ("TooManyUnbondings", MAX_UNBONDINGS)
    assert len(chain.see("unbondings", account("v0"))) == MAX_UNBONDINGS
    chain.block(1_000)
    chain.do("v0", "withdrawUnbonded")
    chain.do("v0", "undelegate", account("v0"), 1)


def test_stake_hops_once(chain: StakingChain) -> None:
    chain.do("dora", "delegate", account("v0"), value=4 * ETHER)
    chain.do("dora", "redelegate", account("v0"), account("v1"), ETHER)
    assert (chain.stake_of("v0", "dora"), chain.stake_of("v1", "dora")) == (3 * ETHER, ETHER)
    held = chain.see("delegation", account("v1"), account("dora"))
    assert held[4:] == ("0x" + account("v0").hex(), chain.now + 1_000)
    assert chain.fail("dora", "redelegate", account("v1"), account("v2"), 1)[0] == "RedelegationUnderWay"
    assert chain.fail("dora", "redelegate", account("v0"), account("v1"), 1)[0] == "RedelegationUnderWay"
    assert chain.fail("dora", "redelegate", account("v0"), account("v0"), 1)[0] == "SameValidator"
    chain.do("dora", "redelegate", account("v0"), account("v2"), ETHER)
    chain.block(1_000)
    chain.do("dora", "redelegate", account("v1"), account("v3"), WHOLE_STAKE)
    assert chain.stake_of("v3", "dora") == ETHER


def test_commission_changes_slowly(chain: StakingChain) -> None:
    chain.register("new", ETHER, 1_000, 200)
    registered = chain.now
    assert chain.fail("new", "setCommission", 1_200) == (
        "CommissionChangedLately",
        registered + COMMISSION_INTERVAL_SECONDS,
    )
    chain.block(COMMISSION_INTERVAL_SECONDS)
    assert chain.fail("new", "setCommission", 1_201) == ("InvalidCommission", 1_201, 800, 1_200)
    assert chain.fail("new", "setCommission", 799)[0] == "InvalidCommission"
    chain.do("new", "setCommission", 1_200)
    assert chain.validator("new").commission_bps == 1_200
    assert chain.fail("new", "setCommission", 1_200)[0] == "CommissionChangedLately"
    assert chain.fail("nobody", "setCommission", 0)[0] == "UnknownValidator"


def test_seats_are_few_and_go_to_the_larger_stake(chain: StakingChain) -> None:
    chain.register("a", 2 * ETHER)
    chain.register("b", 3 * ETHER)
    chain.register("late", 2 * ETHER)
    assert not chain.validator("late").is_seated
    assert chain.fail("late", "takeSeat", account("a")) == ("StakeNotHigher", 2 * ETHER, 2 * ETHER)
    assert chain.fail("late", "takeSeat", account("nobody"))[0] == "NotSeated"
    chain.do("dora", "delegate", account("late"), value=1)
    chain.do("late", "takeSeat", account("a"))
    assert (chain.validator("late").is_seated, chain.validator("a").is_seated) == (True, False)
    assert chain.fail("late", "takeSeat", account("b"))[0] == "AlreadySeated"
    assert chain.fail("nobody", "takeSeat", account("b"))[0] == "UnknownValidator"


def test_who_falls_below_the_minimum_loses_its_seat_and_gets_it_back(chain: StakingChain) -> None:
    chain.do("v0", "undelegate", account("v0"), 9 * ETHER + 1)
    assert chain.validator("v0").is_seated
    chain.next_epoch()
    assert not chain.validator("v0").is_seated
    assert chain.names_at(chain.number + 1, ["v0", "v1", "v2", "v3"]) == {"v1", "v2", "v3"}
    assert chain.fail("v0", "takeSeat", account("v1")) == ("SelfStakeTooLow", ETHER - 1, ETHER)
    chain.do("dora", "delegate", account("v0"), value=ETHER)
    assert not chain.validator("v0").is_seated
    chain.do("v0", "delegate", account("v0"), value=1)
    assert chain.validator("v0").is_seated
    chain.next_epoch()
    assert "v0" in chain.names_at(chain.number + 1, ["v0"])


def test_a_withdrawal_does_not_pay_twice_and_nobody_is_called(chain: StakingChain) -> None:
    """The recipient may be a contract that would reenter: its code never runs."""
    greedy = account("greedy")
    if hasattr(chain.machine, "install"):
        chain.machine.install(greedy, bytes.fromhex("5f5ffd"))  # reverts when called
    chain.do(greedy, "delegate", account("v0"), value=ETHER)
    chain.do(greedy, "undelegate", account("v0"), ETHER)
    chain.block(1_000)
    chain.do(greedy, "withdrawUnbonded")
    assert chain.fail(greedy, "withdrawUnbonded") == ("NothingToWithdraw",)


@pytest.mark.parametrize("name", ["undelegate", "withdrawUnbonded", "withdrawRewards", "unjail", "settle", "epoch"])
def test_functions_that_take_no_coin_refuse_it(name: str) -> None:
    chain = StakingChain()
    spec = spec_of(STAKING, name)
    arguments: list[Any] = [bytes(20) if each.type.name == "address" else 0 for each in spec.inputs]
    assert chain.fail("dora", name, *arguments, value=7) == ("NotPayable", 7)


def test_coin_without_a_function_is_refused() -> None:
    chain = StakingChain()
    chain.fund(account("dora"), ETHER)
    outcome = chain.machine.call(STAKING, account("dora"), b"", value=5)
    assert not outcome.success and outcome.error is not None and outcome.error[0] == "UnknownFunction"
    assert chain.machine.get_balance(account("dora")) == ETHER


def test_views_write_nothing_and_writes_fail_in_static_calls() -> None:
    chain = StakingChain(machine=MemoryMachine(), block_reward=ETHER)
    chain.do("dora", "delegate", account("v0"), value=ETHER)
    chain.next_epoch()
    chain.blocks(8)
    before = chain.machine.storage()
    for name in ("validator", "power", "unbondings", "operatorOf"):
        chain.see(name, account("v0"))
    chain.see("delegation", account("v0"), account("dora"))
    for name in ("epoch", "parameters", "totals", "validatorCount"):
        chain.see(name)
    chain.see("validatorSet", 0, 100)
    chain.see("validators", 0, 100)
    assert chain.machine.storage() == before
    for name, arguments in (("withdrawRewards", [account("v0")]), ("undelegate", [account("v0"), 1])):
        outcome = chain.call("dora", name, *arguments, static=True)
        assert not outcome.success and outcome.output == b""


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.__name__)
def test_a_chain_without_validators_has_no_staking(machine: type[Machine]) -> None:
    plain = machine()
    for name, arguments in (("delegate", [account("v0")]), ("unjail", []), ("epoch", []), ("parameters", [])):
        value = 1 if name == "delegate" else 0
        outcome = plain.do(account("dora"), name, *arguments, at=STAKING, value=value)
        assert outcome.error == ("StakingOff",)
    key, proof, *rest = StakingChain().registration("v0")
    assert plain.do(account("v0"), "register", key, proof, *rest, at=STAKING, value=1).error == ("StakingOff",)
    assert plain.do(account("v0"), "slashForData", account("v0"), 1, [], at=STAKING).error is not None


def test_pages_are_bounded() -> None:
    chain = StakingChain([founder(f"v{n}", ETHER) for n in range(60)], max_validators=60, max_candidates=60)
    assert len(chain.see("validators", 0, 2**255)) == 50
    assert len(chain.see("validators", 50, 2**255)) == 10
    assert chain.see("validators", 2**255, 10) == ()
    assert len(chain.see("validatorSet", 50, 50)) == 10
