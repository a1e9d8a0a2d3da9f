"""Panels of staked operators measure: median, quorum, fees and penalties, to the unit."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from eth_abi import encode

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import ZERO, Chain, Reverted, reverts
from tests.contracts.drawing import draw_from_list, seal
from tests.contracts.payment_world import make_cid

DATASET = keccak(make_cid(b"data"))
DATASET_ID = int.from_bytes(DATASET, "big")
METRIC = keccak(b"completeness")
JOB = {"metric": METRIC, "job": "completeness", "jobCid": b""}
SALT = b"\5" * 32
NONE, REQUESTED, COMMITTING, REVEALING, FULFILLED, FAILED = range(6)
TREASURY = "0x" + "77" * 20
PARAMETERS = {
    "panelSize": 5,
    "quorum": 3,
    "tolerance": 500,
    "outlierBps": 5_000,
    "silentBps": 2_000,
    "commitPeriod": 100,
    "revealPeriod": 50,
    "leaveDelay": 1_000,
    "seatStake": 1_000,
    "minimumStake": 2_000,
    "minimumFee": 300,
}

SEEDS = range(3) if os.environ.get("MARKET") == "full" else range(1)
"""Of the random plays: more of them in `make market-test`."""


class Scene:
    """A data set of `owner`, an oracle, and operators who have staked 2000 each."""

    def __init__(self) -> None:
        self.chain = Chain()
        self.owner, self.asker, self.stranger = self.chain.accounts[1:4]
        self.operators = self.chain.accounts[4:9]
        self.chain.registry.registerCid(make_cid(b"data"), b"", [], 0, sender=self.owner)
        self.oracle = self.chain.deploy("QualityOracle", self.chain.admin, TREASURY, PARAMETERS)
        for operator in self.operators:
            self.oracle.join(sender=operator, value=2_000)

    def request(self, fee: int = 303, randao: int = 1) -> int:
        """Ask and draw."""
        number = self.oracle.requestQualityCheck(DATASET_ID, JOB, sender=self.asker, value=fee).value
        self.draw(number, randao)
        return int(number)

    def draw(self, number: int, randao: int = 1) -> Any:
        header = seal(self.chain, self.oracle.request(number).drawBlock, randao)
        return self.oracle.drawPanel(number, header, sender=self.stranger)

    def commit(self, number: int, scores: dict[Any, int]) -> None:
        for operator, score in scores.items():
            commitment = self.oracle.commitmentFor(number, operator, score, SALT)
            self.oracle.commitAnswer(number, commitment, sender=operator)

    def reveal(self, number: int, scores: dict[Any, int]) -> None:
        for operator, score in scores.items():
            self.oracle.revealAnswer(number, score, SALT, sender=operator)

    def run(self, scores: dict[Any, int], fee: int = 303) -> tuple[int, Any]:
        """A whole request: those in `scores` answer, the others are silent."""
        number = self.request(fee)
        self.commit(number, scores)
        if len(scores) < len(self.oracle.answers(number)):
            self.chain.sleep(PARAMETERS["commitPeriod"])
        self.reveal(number, scores)
        return number, self.oracle.fulfillQualityCheck(number, sender=self.stranger)

    def assert_conserved(self) -> None:
        """Stakes, open fees and what is owed are what is held, and that is there."""
        oracle = self.oracle
        people = [*self.chain.accounts, TREASURY]
        stakes = sum(oracle.member(who).stake for who in people)
        requests = [oracle.request(n) for n in range(1, oracle.requestCount() + 1)]
        fees = sum(r.fee for r in requests if r.status not in (FULFILLED, FAILED))
        owed = sum(oracle.owed(who) for who in people)
        assert stakes == oracle.totalStake()
        assert stakes + fees + owed == oracle.held() == oracle.balance


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def test_five_operators_one_liar_one_silent(scene: Scene) -> None:
    oracle, chain = scene.oracle, scene.chain
    honest, liar, silent = scene.operators[:3], scene.operators[3], scene.operators[4]
    scores = {honest[0]: 8_000, honest[1]: 8_100, honest[2]: 7_900, liar: 100}
    number, receipt = scene.run(scores)
    event = receipt.event("QualityCheckFulfilled")
    # four answers: the mean of 7900 and 8000
    assert (event.score, event.coherent, event.revealed) == (7_950, 3, 4)
    request = oracle.request(number)
    assert (request.status, request.score, request.coherent) == (FULFILLED, 7_950, 3)
    assert oracle.scoreOf(DATASET, METRIC) == (7_950, request.drawnAt, 3)
    assert oracle.history(DATASET, METRIC, 0, 10) == [number]
    assert [oracle.owed(who) for who in honest] == [101] * 3
    assert oracle.member(liar).stake == 2_000 - 500
    assert oracle.member(silent).stake == 2_000 - 200
    assert oracle.owed(TREASURY) == 700
    assert all(oracle.member(who).locked == 0 for who in scene.operators)
    # what is left of their stakes is less than the minimum
    assert [oracle.isOperator(who) for who in scene.operators] == [True] * 3 + [False] * 2
    scene.assert_conserved()
    before = chain.balance(honest[0])
    oracle.withdraw(sender=honest[0])
    assert chain.balance(honest[0]) == before + 101
    scene.assert_conserved()


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((8_000, 8_200, 8_400, 8_100, 8_300), 8_200),
        ((8_000, 8_001, 8_001, 8_003), 8_001),
        ((8_000, 8_001, 8_002, 8_003), 8_001),
        ((0, 0, 0), 0),
        ((10_000, 9_999, 9_500, 10_000), 9_999),
    ],
)
def test_the_median_of_an_even_number_is_the_mean_of_the_middle_two(
    scene: Scene, scores: tuple[int, ...], expected: int
) -> None:
    number, _ = scene.run(dict(zip(scene.operators, scores, strict=False)))
    assert scene.oracle.request(number).score == expected
    assert scene.oracle.request(number).coherent == len(scores)
    # what does not divide goes to the treasury, with the stake of the silent
    silent = 5 - len(scores)
    assert scene.oracle.owed(TREASURY) == 303 % len(scores) + 200 * silent
    scene.assert_conserved()


def test_without_a_quorum_around_the_median_the_fee_goes_back_and_only_silence_costs(scene: Scene) -> None:
    oracle = scene.oracle
    scores = dict(zip(scene.operators, (0, 0, 9_000, 10_000), strict=False))
    number, receipt = scene.run(scores)
    assert receipt.event("QualityCheckFailed").refunded == 303
    assert oracle.request(number).status == FAILED
    assert oracle.owed(scene.asker) == 303 and oracle.owed(TREASURY) == 200
    assert [oracle.member(who).stake for who in scene.operators] == [2_000] * 4 + [1_800]
    assert oracle.scoreOf(DATASET, METRIC) == (0, 0, 0)
    scene.assert_conserved()


def test_nobody_answers(scene: Scene) -> None:
    oracle, chain = scene.oracle, scene.chain
    number = scene.request()
    with reverts("PeriodNotOver", number, chain.timestamp + 100):
        oracle.fulfillQualityCheck(number)
    chain.sleep(100)
    oracle.fulfillQualityCheck(number)
    assert oracle.request(number).status == FAILED
    assert (oracle.owed(scene.asker), oracle.owed(TREASURY)) == (303, 5 * 200)
    scene.assert_conserved()


def test_those_who_committed_but_do_not_reveal_are_waited_for(scene: Scene) -> None:
    oracle, chain = scene.oracle, scene.chain
    number = scene.request()
    scores = dict.fromkeys(scene.operators, 5_000)
    scene.commit(number, scores)
    assert oracle.request(number).status == REVEALING
    revealed = dict.fromkeys(scene.operators[:3], 5_000)
    scene.reveal(number, revealed)
    ends = oracle.request(number).revealEnds
    with reverts("PeriodNotOver", number, ends):
        oracle.fulfillQualityCheck(number)
    chain.sleep(50)
    with reverts("PeriodOver", number, ends):
        oracle.revealAnswer(number, 5_000, SALT, sender=scene.operators[3])
    oracle.fulfillQualityCheck(number)
    assert oracle.request(number).status == FULFILLED and oracle.owed(TREASURY) == 2 * 200
    scene.assert_conserved()


def test_owner_and_asker_are_never_on_the_panel(scene: Scene) -> None:
    oracle = scene.oracle
    oracle.join(sender=scene.owner, value=10**9)
    oracle.join(sender=scene.asker, value=10**9)
    for randao in range(6):
        number = scene.request(randao=randao)
        drawn = [answer.operator for answer in oracle.answers(number)]
        weights = [(who, 2_000) for who in scene.operators] + [(scene.owner, 10**9), (scene.asker, 10**9)]
        assert sorted(drawn) == sorted(scene.operators)
        assert drawn == draw_from_list(
            weights, randao, oracle.address, number, 5, is_distinct=True, may_sit=lambda who, _: who in scene.operators
        )
        scene.chain.sleep(100)
        oracle.fulfillQualityCheck(number)
        for operator in scene.operators:
            oracle.join(sender=operator, value=200)


def test_of_many_operators_a_panel_is_drawn_by_stake(scene: Scene) -> None:
    oracle, chain = scene.oracle, scene.chain
    rich = chain.accounts[10]
    oracle.join(sender=rich, value=50_000)
    for account in chain.accounts[11:19]:
        oracle.join(sender=account, value=2_000)
    seated = []
    for randao in range(8):
        with chain.reverted_after():
            panel = [answer.operator for answer in oracle.answers(scene.request(randao=randao))]
        assert len(set(panel)) == 5
        seated.append(rich in panel)
    assert sum(seated) >= 7


def test_too_few_operators_for_a_quorum_end_the_request(scene: Scene) -> None:
    oracle = scene.oracle
    for operator in scene.operators[:3]:
        oracle.requestLeave(sender=operator)
    number = oracle.requestQualityCheck(DATASET_ID, JOB, sender=scene.asker, value=300).value
    assert scene.draw(number).event("QualityCheckFailed").refunded == 300
    assert oracle.request(number).status == FAILED and oracle.answers(number) == []
    assert all(oracle.member(who).locked == 0 for who in scene.operators)
    scene.assert_conserved()
    # three are enough
    oracle.join(sender=scene.operators[0])
    number = scene.request()
    assert len(oracle.answers(number)) == 3


def test_stake_that_answers_elsewhere_does_not_answer_twice(scene: Scene) -> None:
    oracle = scene.oracle
    first, second = scene.request(), scene.request()
    assert [oracle.member(who).locked for who in scene.operators] == [2_000] * 5
    third = oracle.requestQualityCheck(DATASET_ID, JOB, sender=scene.asker, value=300).value
    assert scene.draw(third).event("QualityCheckFailed")
    scene.chain.sleep(100)
    for number in (first, second):
        oracle.fulfillQualityCheck(number)
    assert [oracle.member(who).stake for who in scene.operators] == [1_600] * 5
    scene.assert_conserved()


def test_a_copied_commitment_is_of_no_use(scene: Scene) -> None:
    oracle, chain = scene.oracle, scene.chain
    number = scene.request()
    honest, copier = scene.operators[:2]
    commitment = oracle.commitmentFor(number, honest, 7_000, SALT)
    oracle.commitAnswer(number, commitment, sender=honest)
    oracle.commitAnswer(number, commitment, sender=copier)
    chain.sleep(100)
    oracle.revealAnswer(number, 7_000, SALT, sender=honest)
    got = oracle.commitmentFor(number, copier, 7_000, SALT)
    with reverts("WrongReveal", number, got, commitment):
        oracle.revealAnswer(number, 7_000, SALT, sender=copier)
    assert oracle.commitmentFor(number + 1, honest, 7_000, SALT) != commitment


def test_every_step_has_its_time_and_its_people(scene: Scene) -> None:
    oracle, chain = scene.oracle, scene.chain
    first, *others = scene.operators
    with reverts("FeeTooLow", 299, 300):
        oracle.requestQualityCheck(DATASET_ID, JOB, sender=scene.asker, value=299)
    for broken in ({"job": ""}, {"job": "x" * 257}, {"jobCid": b"\1" * 129}):
        with reverts("InvalidJob"):
            oracle.requestQualityCheck(DATASET_ID, JOB | broken, sender=scene.asker, value=300)
    with reverts("UnknownDataset"):
        oracle.requestQualityCheck(5, JOB, sender=scene.asker, value=300)
    for call in (lambda: oracle.request(1), lambda: oracle.fulfillQualityCheck(1), lambda: oracle.request(0)):
        with reverts("UnknownRequest"):
            call()
    number = oracle.requestQualityCheck(DATASET_ID, JOB, sender=scene.asker, value=300).value
    with reverts("WrongStatus", number, REQUESTED):
        oracle.commitAnswer(number, SALT, sender=first)
    with reverts("WrongStatus", number, REQUESTED):
        oracle.fulfillQualityCheck(number)
    scene.draw(number)
    with reverts("WrongStatus", number, COMMITTING):
        oracle.drawPanel(number, b"")
    with reverts("NotOnPanel", number, scene.stranger):
        oracle.commitAnswer(number, SALT, sender=scene.stranger)
    with reverts("EmptyCommitment"):
        oracle.commitAnswer(number, bytes(32), sender=first)
    scene.commit(number, {first: 5_000})
    with reverts("AlreadyCommitted", number, first):
        oracle.commitAnswer(number, SALT, sender=first)
    ends = oracle.request(number).commitEnds
    with reverts("PeriodNotOver", number, ends):
        oracle.revealAnswer(number, 5_000, SALT, sender=first)
    chain.sleep(100)
    with reverts("PeriodOver", number, ends):
        oracle.commitAnswer(number, SALT, sender=others[0])
    with reverts("InvalidScore", 10_001):
        oracle.revealAnswer(number, 10_001, SALT, sender=first)
    with reverts("WrongReveal"):
        oracle.revealAnswer(number, 5_000, SALT, sender=others[0])
    scene.reveal(number, {first: 5_000})
    with reverts("AlreadyRevealed", number, first):
        oracle.revealAnswer(number, 5_000, SALT, sender=first)
    oracle.fulfillQualityCheck(number)
    with reverts("WrongStatus", number, FAILED):
        oracle.fulfillQualityCheck(number)


def test_a_metric_names_the_job_that_measures_it(scene: Scene) -> None:
    """Else the seller of data could have the metric of a buyer's escrow measured by a job of its own."""
    oracle, description = scene.oracle, make_cid(b"job")
    assert oracle.metricOf("completeness", b"") == METRIC
    described = keccak(encode(["string", "bytes"], ["completeness", description]))
    assert oracle.metricOf("completeness", description) == described
    for job, name in (
        (JOB | {"jobCid": description}, described),
        (JOB | {"job": "always 10000"}, keccak(b"always 10000")),
    ):
        with reverts("WrongMetric", METRIC, name):
            oracle.requestQualityCheck(DATASET_ID, job, sender=scene.owner, value=300)
    job = {"metric": described, "job": "completeness", "jobCid": description}
    event = oracle.requestQualityCheck(DATASET_ID, job, sender=scene.asker, value=300).event("QualityCheckRequested")
    assert (event.metric, event.job, event.jobCid) == (described, "completeness", description)


def test_a_retired_data_set_is_not_measured_but_what_was_asked_ends_well(scene: Scene) -> None:
    number = scene.request()
    scene.chain.registry.retire(DATASET, sender=scene.owner)
    with reverts("InactiveDataset", DATASET):
        scene.oracle.requestQualityCheck(DATASET_ID, JOB, sender=scene.asker, value=300)
    scores = dict.fromkeys(scene.operators, 4_000)
    scene.commit(number, scores)
    scene.reveal(number, scores)
    scene.oracle.fulfillQualityCheck(number)
    assert scene.oracle.scoreOf(DATASET, METRIC)[0] == 4_000


def test_the_latest_score_is_of_the_panel_drawn_last(scene: Scene) -> None:
    oracle, chain = scene.oracle, scene.chain
    numbers = []
    for score in (3_000, 6_000):
        number = scene.request()
        scene.commit(number, dict.fromkeys(scene.operators, score))
        scene.reveal(number, dict.fromkeys(scene.operators, score))
        numbers.append(number)
        chain.sleep(10)
    for number in reversed(numbers):
        oracle.fulfillQualityCheck(number)
    assert oracle.scoreOf(DATASET, METRIC)[:2] == (6_000, oracle.request(numbers[1]).drawnAt)
    assert oracle.history(DATASET, METRIC, 0, 10) == numbers[::-1]
    assert oracle.history(DATASET, METRIC, 1, 1) == numbers[:1]
    assert oracle.history(DATASET, METRIC, 2, 1) == []


def test_parameters_are_kept_by_requests_and_checked(scene: Scene) -> None:
    oracle = scene.oracle
    number = scene.request()
    oracle.setParameters(PARAMETERS | {"tolerance": 0, "minimumFee": 1, "seatStake": 5, "minimumStake": 5})
    assert oracle.parameters().tolerance == 0 and oracle.parametersAt(1).tolerance == 500
    assert oracle.minimumStake() == 5
    scores = dict(zip(scene.operators, (1, 2, 3, 4, 5), strict=True))
    scene.commit(number, scores)
    scene.reveal(number, scores)
    oracle.fulfillQualityCheck(number)
    assert oracle.request(number).coherent == 5 and oracle.member(scene.operators[0]).locked == 0
    for broken in (
        {"panelSize": 0},
        {"panelSize": 16, "quorum": 9},
        {"quorum": 2},
        {"quorum": 6},
        {"tolerance": 10_001},
        {"outlierBps": 10_001},
        {"silentBps": 10_001},
        {"seatStake": 0},
        {"minimumStake": 999},
        {"commitPeriod": 0},
        {"revealPeriod": 0},
        {"leaveDelay": 91 * 86_400},
    ):
        with reverts("InvalidParameters"):
            oracle.setParameters(PARAMETERS | broken)
    with reverts("AccessControlUnauthorizedAccount", scene.stranger, bytes(32)):
        oracle.setParameters(PARAMETERS, sender=scene.stranger)
    with reverts("InvalidAddress", ZERO):
        scene.chain.deploy("QualityOracle", ZERO, TREASURY, PARAMETERS)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_done_money_is_conserved(scene: Scene, seed: int) -> None:
    oracle, chain, rng = scene.oracle, scene.chain, random.Random(seed)
    people = chain.accounts[4:14]
    scores: dict[tuple[int, Any], int] = {}
    done = 0
    for _ in range(200):
        who = rng.choice(people)
        number = rng.randint(1, max(1, oracle.requestCount()))
        action = rng.randrange(10)
        try:
            if action == 0:
                oracle.join(sender=who, value=rng.choice([0, 500, 3_000]))
            elif action == 1:
                rng.choice([oracle.requestLeave, oracle.withdrawStake, oracle.withdraw])(sender=who)
            elif action == 2:
                oracle.requestQualityCheck(DATASET_ID, JOB, sender=who, value=rng.randint(300, 400))
            elif action in (3, 4):
                scene.draw(number, rng.getrandbits(256))
            elif action in (5, 6, 7):
                for answer in oracle.answers(number):
                    score = rng.choice([7_000, 7_100, 7_200, 50])
                    key = (number, answer.operator)
                    if not answer.hasRevealed and rng.random() < 0.9:
                        if key in scores and oracle.request(number).status == REVEALING:
                            scene.reveal(number, {answer.operator: scores[key]})
                        elif oracle.request(number).status == COMMITTING and key not in scores:
                            scene.commit(number, {answer.operator: score})
                            scores[key] = score
            elif action == 8:
                oracle.fulfillQualityCheck(number)
                done += 1
            else:
                chain.sleep(rng.choice([1, 30, 60, 400]))
        except Reverted:
            pass
        scene.assert_conserved()
    assert done > 0
