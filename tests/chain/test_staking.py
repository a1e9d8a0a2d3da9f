"""The sums behind staking: bounds that rounding must keep, whatever the numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.types import Address
from dmchain.chain.staking.arithmetic import (
    ACCUMULATOR_BITS,
    Absence,
    Candidate,
    choose_jailed,
    compute_accumulator_step,
    compute_block_reward,
    compute_burn,
    compute_burned_shares,
    compute_earned,
    compute_minted_shares,
    compute_pool_loss,
    compute_power,
    compute_slash_fraction,
    compute_value,
    is_absent,
    is_worthless,
    select_validators,
    split_commission,
)
from dmchain.chain.staking.parameters import BPS, MAX_STAKE, POWER_UNIT, WAD, StakingParameters
from dmchain.chain.staking.possession import compute_possession_digest, is_possession_proven, prove_possession

tokens = st.integers(1, MAX_STAKE)
dilutions = st.integers(0, 64)


@st.composite
def pools(draw: st.DrawFn) -> tuple[int, int]:
    """(tokens, shares) of a pool that takes stake: at least as many shares, at most 2**64 times."""
    held = draw(tokens)
    return held, draw(st.integers(held, held << draw(dilutions)))


@given(pools(), tokens)
def test_a_deposit_is_worth_at_most_itself_and_hurts_nobody(pool: tuple[int, int], amount: int) -> None:
    held, shares = pool
    minted = compute_minted_shares(amount, held, shares)
    assert minted >= amount  # so shares >= tokens stays true
    assert amount - 1 <= compute_value(minted, held + amount, shares + minted) <= amount
    # a share of those who were there is worth no less than before
    assert held * (shares + minted) <= (held + amount) * shares


@given(pools(), st.data())
def test_taking_an_amount_out_gives_exactly_it_and_hurts_nobody(pool: tuple[int, int], data: st.DataObject) -> None:
    held, shares = pool
    amount = data.draw(st.integers(1, held))
    burned = compute_burned_shares(amount, held, shares)
    assert burned <= shares
    assert compute_value(burned, held, shares) == amount
    assert held * (shares - burned) <= (held - amount) * shares
    assert shares - burned >= held - amount
    if burned == shares:
        assert amount == held


@given(pools(), tokens, st.integers(1, 20))
def test_going_in_and_out_again_never_gains(pool: tuple[int, int], amount: int, rounds: int) -> None:
    held, shares = pool
    coin = amount
    for _ in range(rounds):
        minted = compute_minted_shares(coin, held, shares)
        held, shares = held + coin, shares + minted
        out = compute_value(minted, held, shares)
        held, shares = held - out, shares - minted
        assert out <= coin
        coin = out
        if coin == 0:
            break


def test_the_first_deposit_is_one_share_a_wei() -> None:
    assert compute_minted_shares(5, 0, 0) == 5
    assert compute_value(5, 0, 0) == compute_burned_shares(5, 0, 7) == 0


@given(st.integers(1, MAX_STAKE), st.integers(0, 200))
def test_shares_stay_below_160_bits(held: int, dilution: int) -> None:
    shares = held << dilution
    if not is_worthless(held, shares):
        assert shares + compute_minted_shares(MAX_STAKE, held, shares) < 2**160


@given(st.integers(0, MAX_STAKE), st.integers(0, BPS))
def test_commission_and_rest_are_all_of_it(reward: int, bps: int) -> None:
    commission, rest = split_commission(reward, bps)
    assert commission + rest == reward and commission == reward * bps // BPS


@given(st.lists(st.integers(1, 2**159), min_size=1, max_size=5), st.lists(st.integers(0, 2**95), max_size=6))
def test_claims_never_exceed_rewards_and_miss_little(parts: list[int], rewards: list[int]) -> None:
    earning = sum(parts)
    accumulator = sum(compute_accumulator_step(reward, earning) for reward in rewards)
    claims = sum(compute_earned(part, accumulator) for part in parts)
    assert claims <= sum(rewards)
    lost = len(parts) + len(rewards) * (1 + (earning >> ACCUMULATOR_BITS))
    assert sum(rewards) - claims <= lost


def test_the_accumulator_has_room() -> None:
    assert compute_accumulator_step(2**127, 1) < 2**256
    assert compute_earned(1, compute_accumulator_step(2**127, 1)) == 2**127


@given(st.integers(0, 2**80), st.integers(1, 2**62), st.data())
def test_a_block_reward_grows_from_half_to_all(full: int, total: int, data: st.DataObject) -> None:
    quorum = 2 * total // 3 + 1
    signed = data.draw(st.integers(quorum, max(total, quorum)))
    reward = compute_block_reward(full, signed, total)
    assert full // 2 <= reward <= full
    assert compute_block_reward(full, total, total) == full
    assert reward <= compute_block_reward(full, signed + 1, total)


@pytest.mark.parametrize(
    ("share", "fraction"),
    [(0, WAD // 20), (WAD // 60, WAD // 20), (WAD // 10, 3 * WAD // 10), (WAD // 3 + 1, WAD), (WAD, WAD)],
)
def test_the_slash_grows_with_those_caught_together(share: int, fraction: int) -> None:
    assert compute_slash_fraction(500, 3, share) == fraction


@given(tokens, tokens, tokens, st.integers(0, WAD))
def test_a_pool_never_loses_more_than_it_has_or_than_its_part(held: int, stake: int, left: int, fraction: int) -> None:
    lost = compute_pool_loss(held, stake, left, fraction)
    assert 0 <= lost <= held
    assert lost * WAD <= max(stake - left, 0) * fraction


@given(st.lists(st.integers(1, 2**90), min_size=1, max_size=8), st.integers(0, WAD))
def test_splitting_stake_does_not_lower_its_slash(parts: list[int], fraction: int) -> None:
    assert sum(compute_burn(part, fraction) for part in parts) >= compute_burn(sum(parts), fraction)
    assert all(compute_burn(part, fraction) <= part for part in parts)


def candidate(number: int, stake: int) -> Candidate:
    return Candidate(Address(bytes([number]) * 20), Address(bytes(20)), stake)


@given(st.lists(st.integers(0, 5), max_size=12), st.integers(1, 6), st.randoms())
def test_selection_does_not_depend_on_the_order_of_seats(stakes: list[int], limit: int, random: object) -> None:
    candidates = [candidate(number, stake) for number, stake in enumerate(stakes)]
    chosen = select_validators(candidates, limit)
    shuffled = list(candidates)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert select_validators(shuffled, limit) == chosen
    assert [each.address for each in chosen] == sorted(each.address for each in chosen)
    rest = [each for each in candidates if each not in chosen]
    assert len(chosen) == min(limit, len(candidates))
    for inside in chosen:
        for outside in rest:
            assert (-inside.tokens, inside.address) < (-outside.tokens, outside.address)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 100)), max_size=20), st.integers(1, 1_000))
def test_jail_takes_at_most_a_sixth_or_the_only_absent_one(absences: list[tuple[int, int]], total: int) -> None:
    found = [Absence(missed, place, power) for place, (missed, power) in enumerate(absences)]
    total = max(total, sum(each.power for each in found))
    jailed = choose_jailed(found, total)
    if jailed and sum(found[place].power for place in jailed) * 6 > total:
        assert jailed == [0] and len(found) == 1 and found[0].power * 3 < total
        return
    assert sum(found[place].power for place in jailed) * 6 <= total
    assert jailed == sorted(set(jailed))
    room = total // 6 - sum(found[place].power for place in jailed)
    assert all(each.power > room for each in found if each.place not in jailed)
    assert jailed or len(found) != 1 or found[0].power * 3 >= total


@pytest.mark.parametrize(("missed", "absent"), [(0, False), (49, False), (50, False), (51, True), (100, True)])
def test_half_of_the_commits_is_enough(missed: int, absent: bool) -> None:
    assert is_absent(missed, 100, 5_000) is absent


def test_power_is_stake_in_a_coarse_unit() -> None:
    assert compute_power(POWER_UNIT - 1) == 0 and compute_power(5 * POWER_UNIT + 1) == 5
    assert compute_power(MAX_STAKE) < 2**63


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"epoch_seconds": 0}, "epoch_seconds: expected 1 to"),
        ({"max_validators": 101}, "max_validators: expected 1 to 100, got 101"),
        ({"max_candidates": 99}, "max_candidates: expected at least max_validators, 100, got 99"),
        ({"minimum_self_stake": 1}, "minimum_self_stake: expected"),
        ({"epoch_seconds": 1}, "unbonding_seconds: expected at most 4092 epochs of 1 s, got 604800 s"),
        ({"unbonding_seconds": 1_199}, "unbonding_seconds: expected at least two epochs of 600 s, got 1199"),
        ({"dispute_contract": b""}, "dispute_contract: expected 20 bytes, got 0"),
        ({"double_sign_bps": 10_001}, "double_sign_bps: expected 0 to 10000"),
    ],
)
def test_parameters_out_of_range_are_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        StakingParameters(**changes)  # type: ignore[arg-type]


def test_a_proof_of_possession_is_bound_to_chain_operator_and_key() -> None:
    key = PrivateKey(keccak(b"consensus"))
    proof = prove_possession(key, 7, b"\x01" * 20)
    assert is_possession_proven(proof, 7, b"\x01" * 20, key.address)
    assert not is_possession_proven(proof, 8, b"\x01" * 20, key.address)
    assert not is_possession_proven(proof, 7, b"\x02" * 20, key.address)
    assert not is_possession_proven(proof, 7, b"\x01" * 20, PrivateKey(keccak(b"other")).address)
    s = int.from_bytes(proof[32:64], "big")
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    malleated = proof[:32] + (order - s).to_bytes(32, "big") + bytes((1 - proof[64],))
    assert not is_possession_proven(malleated, 7, b"\x01" * 20, key.address)
    domain = keccak(b"dmchain proof of possession v1")
    contract = bytes.fromhex("000000000000000000000000000000000000da03")
    expected = keccak(domain + (7).to_bytes(32, "big") + contract + b"\x01" * 20)
    assert compute_possession_digest(7, b"\x01" * 20) == expected
