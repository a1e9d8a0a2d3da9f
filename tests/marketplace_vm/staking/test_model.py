"""A random life of a chain, against `model.Model`, with conservation to the wei after every action.

DMCHAIN_STAKING_EXAMPLES=500 runs that many lives.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dmchain.chain.staking import STAKING
from dmchain.chain.staking.layout import Status
from dmchain.chain.staking.readers import read_delegation, read_totals, read_unbondings, read_validator
from dmchain.marketplace_vm.precompiles.staking_interface import WHOLE_STAKE
from tests.marketplace_vm.staking.model import Epoch, Model, Refused
from tests.marketplace_vm.staking.rig import DISPUTES, ETHER, StakingChain, account, founder, key_of

EXAMPLES = int(os.environ.get("DMCHAIN_STAKING_EXAMPLES", "25"))
FOUNDERS = ["v0", "v1", "v2", "v3", "v4", "v5", "v6"]
NEWCOMERS = ["n0", "n1", "n2"]
PEOPLE = ["dora", "emil", *FOUNDERS[:3], NEWCOMERS[0]]

founders = st.sampled_from(FOUNDERS)
validators = st.sampled_from([*FOUNDERS, *NEWCOMERS])
people = st.sampled_from(PEOPLE)
picks = st.integers(0, 99)
"""Which delegation: one that exists, see `pick`."""
amounts = st.one_of(
    st.sampled_from([1, 2, 3, 7, ETHER, ETHER + 1, 10 * ETHER - 1, 3 * ETHER // 7]), st.integers(1, 12 * ETHER)
)
parts = st.one_of(st.none(), amounts)
"""None: all there is."""


class Life(RuleBasedStateMachine):
    @initialize(commission=st.sampled_from([0, 333, 10_000]), reward=st.sampled_from([0, 7, 10**15 + 1]))
    def start(self, commission: int, reward: int) -> None:
        stakes = {name: (10 + index) * ETHER + index for index, name in enumerate(FOUNDERS)}
        self.chain = StakingChain(
            [founder(name, stake, commission) for name, stake in stakes.items()],
            max_validators=7, max_candidates=8, unbonding_seconds=500, block_reward=reward, minimum_self_stake=5 * ETHER,
            reporter_bps=100, window_commits=5,
        )  # fmt: skip
        self.chain.accounts |= {DISPUTES, account("victim")}
        order = {name: key_of(name).address for name in [*FOUNDERS, *NEWCOMERS]}
        self.model = Model(self.chain.parameters, self.chain.now, order)
        for name, stake in stakes.items():
            self.model.found(name, stake, commission)
        genesis = self.chain.epoch_at(1)
        powers = {name: stakes[name] // 10**12 for name in FOUNDERS}
        self.model.epochs.append(Epoch(1, 0, genesis.start_time, powers, dict.fromkeys(FOUNDERS, 0)))
        self.block(1, [], None)

    # -- running both --------------------------------------------------------------------------------------------
    def act(self, run: Callable[[], Any], who: str | bytes, name: str, *arguments: Any, value: int = 0) -> Any:
        """Call on the chain and on the model; they agree on whether it works, why not, and what it returns."""
        outcome = self.chain.call(who, name, *arguments, value=value)
        before = deepcopy(self.model)
        try:
            expected, refused = run(), None
        except Refused as reason:
            expected, refused = None, str(reason)
            self.model = before
        error = outcome.error
        assert outcome.success == (refused is None), (name, arguments, refused, error, outcome)
        if refused is not None:
            assert error is not None and error[0] == refused, (name, refused, error)
        elif isinstance(expected, int):
            assert int.from_bytes(outcome.output, "big") == expected, name
        return outcome

    @rule(name=validators, who=people, amount=amounts)
    def delegate(self, name: str, who: str, amount: int) -> None:
        self.act(lambda: self.model.delegate(name, who, amount), who, "delegate", account(name), value=amount)

    @rule(name=st.sampled_from(NEWCOMERS), stake=st.integers(4 * ETHER, 30 * ETHER))
    def register(self, name: str, stake: int) -> None:
        arguments = self.chain.registration(name, 500)
        self.act(lambda: self.model.register(name, stake, 500), name, "register", *arguments, value=stake)

    def pick(self, number: int) -> tuple[str, str]:
        """A delegation with stake in it; now and then any pair."""
        held = [
            (name, who) for name, pool in self.model.pools.items() for who, stake in pool.stakes.items() if stake.shares
        ]
        if number >= 95 or not held:
            return [*FOUNDERS, *NEWCOMERS][number % 10], PEOPLE[number % 6]
        return held[number % len(held)]

    @rule(number=picks, amount=parts)
    def undelegate(self, number: int, amount: int | None) -> None:
        name, who = self.pick(number)
        given = WHOLE_STAKE if amount is None else amount
        self.act(lambda: self.model.undelegate(name, who, amount), who, "undelegate", account(name), given)

    @rule(number=picks, to=validators, amount=parts)
    def redelegate(self, number: int, to: str, amount: int | None) -> None:
        source, who = self.pick(number)
        given = WHOLE_STAKE if amount is None else amount
        self.act(
            lambda: self.model.redelegate(source, to, who, amount),
            who, "redelegate", account(source), account(to), given,
        )  # fmt: skip

    @rule(who=people)
    def withdraw_unbonded(self, who: str) -> None:
        self.act(lambda: self.model.withdraw_unbonded(who), who, "withdrawUnbonded")

    @rule(number=picks)
    def withdraw_rewards(self, number: int) -> None:
        name, who = self.pick(number)
        outcome = self.chain.call(who, "withdrawRewards", account(name))
        if outcome.success:
            paid = int.from_bytes(outcome.output, "big")
            stake = self.model.open(name, who)
            assert abs(stake.owed - paid) <= self.model.distributions
            stake.owed -= paid  # what rounding makes of it stays within the same bound
        else:
            assert outcome.error is not None
            assert outcome.error[0] in ("NothingToWithdraw", "UnknownValidator")

    @rule(name=validators)
    def withdraw_commission(self, name: str) -> None:
        def run() -> int:
            pool = self.model.pool(name)
            if pool.commission == 0:
                raise Refused("NothingToWithdraw")
            paid, pool.commission = pool.commission, 0
            return paid

        self.act(run, name, "withdrawCommission")

    @rule(number=picks)
    def settle(self, number: int) -> None:
        name, who = self.pick(number)
        self.act(lambda: self.model.open(name, who) and None, "anybody", "settle", account(name), account(who))

    @rule(name=validators)
    def unjail(self, name: str) -> None:
        self.act(lambda: self.model.unjail(name), name, "unjail")

    @rule(name=validators, displaced=validators)
    def take_seat(self, name: str, displaced: str) -> None:
        self.act(lambda: self.model.take_seat(name, displaced), name, "takeSeat", account(displaced))

    @rule(name=validators, amount=amounts, is_burned=st.booleans())
    def slash_for_data(self, name: str, amount: int, is_burned: bool) -> None:
        def run() -> int:
            seized = self.model.slash_for_data(name, amount)
            self.model.burned += seized if is_burned else 0
            return seized

        beneficiaries = [] if is_burned else [account("victim")]
        self.act(run, DISPUTES, "slashForData", account(name), amount, beneficiaries)

    # -- blocks --------------------------------------------------------------------------------------------------
    def block(self, seconds: int, absent: list[str], accused: tuple[str, int] | None, gift: int = 0) -> None:
        number = self.chain.number
        here = [] if number == 0 else [name for name in absent if name in self.model.epoch_at(number).powers]
        epoch = self.chain.epoch_at(number + 1)
        turn = epoch.validators.validators[epoch.proposer(number + 1, 0)].address
        proposer = next(name for name, address in self.model.order.items() if address == turn)
        evidence = [] if accused is None else [self.chain.double_vote(*accused)]
        self.chain.begin(seconds, absent=here, evidence=evidence)
        self.model.begin(seconds, here, [] if accused is None else [accused], proposer)
        if gift:
            self.chain.supply += gift
            self.chain.machine.set_balance(STAKING, self.chain.machine.get_balance(STAKING) + gift)
            self.waiting += gift
        self.chain.end()
        self.model.end(here, proposer, self.waiting)
        if not self.model.pools[proposer].grave:
            self.waiting = 0

    waiting = 0
    """Gifts that no proposer has been there to take."""

    @rule(
        count=st.integers(1, 8),
        seconds=st.sampled_from([0, 1, 20, 60]),
        absent=st.lists(founders, max_size=2, unique=True),
        gift=st.sampled_from([0, 0, 0, 5, ETHER]),
    )
    def blocks(self, count: int, seconds: int, absent: list[str], gift: int) -> None:
        for _ in range(count):
            self.block(seconds, absent, None, gift)

    @rule(seconds=st.sampled_from([100, 450, 500, 501]))
    def wait(self, seconds: int) -> None:
        self.block(seconds, [], None)
        self.block(0, [], None)

    @precondition(lambda self: sum(1 for pool in self.model.pools.values() if pool.grave) < 5)
    @rule(back=st.integers(0, 12), place=st.integers(0, 6), seconds=st.sampled_from([1, 100]))
    def accuse(self, back: int, place: int, seconds: int) -> None:
        height = max(1, self.chain.number - back)
        names = sorted(self.model.epoch_at(height).powers)
        self.block(seconds, [], (names[place % len(names)], height))

    # -- comparing -----------------------------------------------------------------------------------------------
    @invariant()
    def everything_agrees(self) -> None:
        if not hasattr(self, "model"):
            return
        get, model = self.chain.get_storage, self.model
        totals = read_totals(get)
        assert (totals.minted, totals.burned) == (model.minted, model.burned)
        assert totals.bonded == sum(pool.tokens for pool in model.pools.values())
        queued = [entry for queue in model.queues.values() for entry in queue]
        assert totals.unbonding == sum(entry.amount for entry in queued)
        for name, pool in model.pools.items():
            found = read_validator(get, account(name))
            assert found is not None
            status = (
                Status.TOMBSTONED if pool.grave else Status.JAILED if pool.jailed_until is not None else Status.ACTIVE
            )
            assert (found.stake, found.shares, found.status, found.commission) == (
                pool.tokens, pool.shares, status, pool.commission,
            )  # fmt: skip
            assert (found.is_seated, found.self_stake) == (pool.seated, model.own(name))
            assert found.is_in_set == (name in model.epochs[-1].powers)
            for who, stake in pool.stakes.items():
                self.compare_stake(name, who, stake)
        for who, queue in model.queues.items():
            seen = [(each.amount, each.completes_at) for each in read_unbondings(get, account(who))]
            assert seen == [(model.due(entry)[0], entry.until) for entry in queue]
        self.compare_sets()

    def compare_stake(self, name: str, who: str, stake: Any) -> None:
        found = read_delegation(self.chain.get_storage, account(name), account(who), self.chain.now)
        shares, rewards = (found.shares, found.rewards) if found else (0, 0)
        assert abs(rewards - stake.owed) <= self.model.distributions
        move = stake.move
        grave = move and self.model.pools[move.source].grave
        if not (grave and grave.holds(move.block)):  # else the reader shows it settled already
            assert shares == stake.shares

    def compare_sets(self) -> None:
        for height in (self.chain.number, self.chain.number + 1):
            if height:
                found, expected = self.chain.epoch_at(height), self.model.epoch_at(height)
                powers = dict(zip(found.operators, found.validators.powers, strict=True))
                assert powers == {account(name): power for name, power in expected.powers.items()}


Life.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=40, deadline=None)
TestLife = Life.TestCase
