"""Heights, recovery, catching up and hostile messages, on the bench."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dmchain.chain.consensus import effects as fx
from dmchain.chain.consensus.inputs import (
    Rebroadcast,
    Received,
    Signed,
    Start,
    Timeout,
    TimerKind,
    Validity,
)
from dmchain.chain.consensus.machine import HeightMachine
from dmchain.chain.consensus.messages import (
    NO_ROUND,
    BlockReply,
    BlockRequest,
    CommitCertificate,
    Decision,
    Polka,
    ProposalMessage,
    RoundStatus,
    Step,
    Vote,
    VoteBundle,
)
from dmchain.chain.consensus.votes import KEPT_ROUNDS, WINDOW
from tests.chain.consensus.bench import (
    FORGED,
    HEIGHT,
    Bench,
    block,
    block_hash,
    commit,
    polka,
    precommit,
    prevote,
    proposal,
    signed,
    validator_set,
    vote,
)

PROPOSE, PREVOTE, PRECOMMIT = TimerKind.PROPOSE, TimerKind.PREVOTE, TimerKind.PRECOMMIT


def locked_bench(me: int = 3, machine: type[HeightMachine] = HeightMachine) -> Bench:
    """Locked on A in round 0, waiting for precommits."""
    bench = Bench(me, machine=machine)
    bench.hear(proposal("A", 0))
    bench.valid("A")
    bench.prevotes("A", 0, *[voter for voter in range(4) if voter != me][:2])
    assert bench.state() == "0 precommit lock A0 valid A0"
    return bench


# -- durability and signing --------------------------------------------------------------------------------------
def test_every_own_message_is_durable_before_it_leaves() -> None:
    bench = Bench(0, awake=False, quiet=False)
    bench.give(Timeout(TimerKind.HEARTBEAT, HEIGHT, 0))
    said = bench.built("A", 0)
    assert said == ["persist", "broadcast proposal A 0 with body", "persist", "broadcast prevote A 0"]
    assert bench.prevotes("A", 0, 1, 2) == ["persist", "broadcast precommit A 0"]


@pytest.mark.parametrize("machine", [HeightMachine])
def test_the_record_of_a_precommit_holds_lock_body_and_own_messages(machine: type[HeightMachine]) -> None:
    record = locked_bench(machine=machine).records[-1]
    assert (record.locked_round, record.locked_hash) == (0, block_hash("A"))
    assert record.blocks == (block("A"),)
    assert record.valid_polka == polka("A", 0, (0, 1, 3))
    assert record.own == (prevote("A", 0, 3), precommit("A", 0, 3))


def test_an_answer_of_the_signer_that_was_not_asked_for_is_ignored() -> None:
    bench = Bench()
    assert bench.give(Signed(prevote("A", 0, 3))) == []
    bench.timeout(PROPOSE, 0)
    assert bench.give(Signed(prevote(None, 0, 3))) == []  # again
    assert bench.give(Signed(prevote("B", 0, 3))) == []


def test_a_slow_signer_never_leads_to_two_requests_for_one_slot() -> None:
    bench = Bench()
    bench.signs = False
    assert bench.timeout(PROPOSE, 0) == ["sign prevote nil 0"]
    assert bench.prevotes(None, 0, 0, 1, 2) == ["sign precommit nil 0"]
    assert bench.precommits(None, 0, 0, 1, 2) == ["timer propose 1"]
    assert bench.give(Signed(signed(vote(1, None, 0, 3)))) == ["broadcast prevote nil 0"]
    assert bench.records[-1].round == 1


def test_an_observer_follows_and_signs_nothing() -> None:
    bench = Bench(3, is_observer=True)
    bench.hear(proposal("A", 0))
    assert bench.valid("A") == []
    assert bench.prevotes("A", 0, 0, 1, 2) == []
    assert bench.state() == "0 precommit lock A0 valid A0"
    assert bench.precommits("A", 0, 0, 1, 2) == ["decide A 0 012"]
    assert not [effect for effect in bench.effects if isinstance(effect, fx.Sign)]


def test_a_node_outside_the_set_decides_with_it() -> None:
    bench = Bench(7)
    assert bench.machine.me is None
    bench.hear(proposal("A", 0))
    bench.valid("A")
    assert bench.hear(commit("A", 0, (0, 1, 2))) == ["decide A 0 012"]


# -- recovery ----------------------------------------------------------------------------------------------------
def test_a_recovered_validator_keeps_its_lock_and_repeats_what_it_said() -> None:
    before = locked_bench()
    bench = Bench(3, record=before.records[-1])
    assert bench.started == ["validate A", "broadcast prevote A 0", "broadcast precommit A 0"]
    assert bench.state() == "0 precommit lock A0 valid A0"
    bench.valid("A")
    assert bench.precommits("A", 0, 0, 1) == ["decide A 0 013"]


def test_a_step_whose_message_was_not_durable_is_taken_again() -> None:
    before = locked_bench()
    # the prevote became durable when the precommit had been asked for and not yet signed
    record = replace(before.records[0], step=Step.PRECOMMIT)
    bench = Bench(3, record=record)
    assert bench.state() == "0 prevote lock - valid -"
    bench.valid("A")
    assert bench.prevotes("A", 0, 0, 1) == ["broadcast precommit A 0"]


def test_nothing_that_was_signed_is_signed_again_after_recovery() -> None:
    before = locked_bench()
    bench = Bench(3, record=before.records[-1])
    bench.valid("A")
    bench.timeout(PROPOSE, 0)
    bench.timeout(PREVOTE, 0)
    bench.hear(proposal("A", 0))
    bench.prevotes("A", 0, 0, 1, 2)
    assert not [effect for effect in bench.effects if isinstance(effect, fx.Sign)]


def test_a_recovered_proposer_without_its_proposal_proposes() -> None:
    before = Bench(1)
    before.timeout(PROPOSE, 0)
    record = before.records[-1]
    before.precommits(None, 0, 0, 2, 3)
    before.timeout(PRECOMMIT, 0)
    assert before.state().startswith("1 propose")
    # the prevote of round 0 answered late: its record says round 1 and nothing was said there
    late = replace(record, round=1, round_certificate=tuple([precommit(None, 0, voter) for voter in (0, 2, 3)]))
    bench = Bench(1, record=late)
    assert bench.started == ["get value 1", "timer propose 1"]


def test_a_record_of_a_height_above_means_observing() -> None:
    record = locked_bench().records[-1]
    bench = Bench(3, record=record, height=HEIGHT - 1)
    assert bench.machine.me is None


def test_a_record_of_a_height_below_means_nothing() -> None:
    record = locked_bench().records[-1]
    bench = Bench(3, record=record, height=HEIGHT + 1)
    assert bench.state() == "-1 idle lock - valid -"
    assert bench.machine.me == 3


@pytest.mark.parametrize("machine", [HeightMachine])
def test_the_proof_of_the_round_survives_a_crash(machine: type[HeightMachine]) -> None:
    before = Bench(machine=machine)
    before.timeout(PROPOSE, 0)
    before.precommits(None, 0, 0, 1, 2)
    before.timeout(PRECOMMIT, 0)
    before.timeout(PROPOSE, 1)
    bench = Bench(3, record=before.records[-1], machine=machine)
    behind = RoundStatus(HEIGHT, 0, Step.PRECOMMIT, NO_ROUND, False, False, 0, 0)
    answers = bench.hear(behind)
    assert answers[0] == "send 9 VoteBundle"
    sent = next(effect.message for effect in bench.effects if isinstance(effect, fx.Send))
    assert sent == VoteBundle(HEIGHT, tuple([precommit(None, 0, voter) for voter in (0, 1, 2)]))


def test_a_halted_core_says_nothing_any_more() -> None:
    bench = Bench()
    bench.hear(proposal("A", 0))
    bench.invalid("A")
    bench.hear(commit("A", 0, (0, 1, 2)))
    assert bench.core.halted
    assert bench.give(Start(HEIGHT + 1, bench.set, bench.proposers, 1)) == []


# -- heights -----------------------------------------------------------------------------------------------------
def next_height(bench: Bench, last_commit: CommitCertificate | None = None) -> list[str]:
    return bench.give(Start(HEIGHT + 1, bench.set, bench.proposers, 1, None, last_commit))


def test_messages_of_the_next_height_wait_for_it() -> None:
    bench = Bench(3)
    early = proposal("B", 0, by=1, height=HEIGHT + 1)
    assert bench.hear(early, prevote("B", 0, 1, height=HEIGHT + 1)) == ["ahead 9 6", "ahead 9 6"]
    bench.hear(Decision(block("A"), commit("A", 0, (0, 1, 2))))
    bench.valid("A")
    assert "validate B" in next_height(bench)
    assert 1 in bench.machine.votes.rounds[0].prevotes


def test_of_the_next_height_one_message_of_each_kind_is_kept_and_lower_rounds_first() -> None:
    bench = Bench(3)
    for round in (5, 3, 9, 0, 1):
        bench.hear(prevote(None, round, 1, height=HEIGHT + 1))
    assert bench.core.early_messages == 1
    bench.hear(proposal("B", 0, by=2, height=HEIGHT + 1))  # not the next height's proposer: 1 is
    assert bench.core.early_messages == 1
    next_height(bench)
    assert list(bench.machine.votes.rounds) == [0]


def test_messages_far_above_are_only_a_sign_that_the_peer_is_ahead() -> None:
    bench = Bench(3)
    assert bench.hear(prevote(None, 0, 1, height=HEIGHT + 2)) == ["ahead 9 7"]
    assert bench.core.early_messages == 0


def test_late_precommits_make_the_last_commit_fuller() -> None:
    bench = Bench(1)
    bench.hear(Decision(block("A"), commit("A", 0, (0, 1, 2))))
    bench.valid("A")
    bench.hear(precommit("A", 0, 3))  # decided, next height not begun
    next_height(bench, commit("A", 0, (0, 1, 2)))
    bench.give(Timeout(TimerKind.HEARTBEAT, HEIGHT + 1, 0))
    asked = [effect for effect in bench.effects if isinstance(effect, fx.GetValue)]
    assert asked[-1].last_commit == commit("A", 0, (0, 1, 2, 3))


def test_a_late_precommit_against_the_one_in_the_commit_is_evidence() -> None:
    bench = Bench(1, last_commit=commit("A", 0, (0, 1, 2), HEIGHT - 1))
    late = precommit("B", 0, 2, HEIGHT - 1)
    assert bench.hear(late, late) == ["evidence validator 2 at height 4: two precommits in round 0"]
    assert bench.hear(precommit(None, 1, 2, HEIGHT - 1)) == []  # another round


def test_a_body_that_comes_too_late_makes_its_fresh_proposal_untimely() -> None:
    bench = Bench(3)
    bench.hear(proposal("A", 0, body=False))
    bench.give(Received(BlockReply(HEIGHT, block("A")), 9, is_timely=False))
    assert bench.valid("A") == ["broadcast prevote nil 0"]


def test_a_precommit_for_something_else_does_not_enter_the_last_commit() -> None:
    bench = Bench(1, last_commit=commit("A", 0, (0, 1, 2), HEIGHT - 1))
    for stray in (precommit("B", 0, 3, HEIGHT - 1), precommit("A", 1, 3, HEIGHT - 1), precommit("A", 0, 2, HEIGHT - 1)):
        bench.hear(stray)
    assert bench.machine.last_commit == commit("A", 0, (0, 1, 2), HEIGHT - 1)
    bench.hear(precommit("A", 0, 3, HEIGHT - 1))
    assert bench.machine.last_commit == commit("A", 0, (0, 1, 2, 3), HEIGHT - 1)


# -- catching up -------------------------------------------------------------------------------------------------
def status(round: int, step: Step = Step.PROPOSE, *, height: int = HEIGHT, valid_round: int = NO_ROUND) -> RoundStatus:
    return RoundStatus(height, round, step, valid_round, False, False, 0, 0)


def test_a_stuck_validator_repeats_itself_and_asks() -> None:
    bench = locked_bench()
    assert bench.give(Rebroadcast(HEIGHT)) == []  # the step was taken since the timer was set
    assert bench.give(Rebroadcast(HEIGHT)) == [
        "broadcast prevote A 0", "broadcast precommit A 0", "ask RoundStatus", "timer retry 0",
    ]  # fmt: skip


def test_progress_ends_the_repeating() -> None:
    bench = locked_bench()
    bench.give(Rebroadcast(HEIGHT), Rebroadcast(HEIGHT))
    bench.prevotes(None, 1, 0, 1)
    assert bench.give(Rebroadcast(HEIGHT)) == []


def test_an_idle_node_asks_and_says_nothing_else() -> None:
    bench = Bench(3, awake=False)
    bench.give(Rebroadcast(HEIGHT))
    assert bench.give(Rebroadcast(HEIGHT)) == ["ask RoundStatus"]


def test_a_missing_body_is_asked_for_again_when_stuck() -> None:
    bench = Bench(3)
    bench.hear(proposal("A", 0, body=False))
    bench.give(Rebroadcast(HEIGHT))
    assert bench.give(Rebroadcast(HEIGHT)) == ["fetch A", "ask RoundStatus", "timer retry 0"]
    assert bench.hear(BlockReply(HEIGHT, block("A"))) == ["validate A"]
    assert bench.hear(BlockReply(HEIGHT, block("B"))) == []


def test_a_status_of_another_height_is_told_to_the_host() -> None:
    bench = Bench(3)
    assert bench.hear(status(0, height=HEIGHT - 2)) == ["behind 9 3"]
    assert bench.hear(status(0, height=HEIGHT + 3)) == ["ahead 9 8"]


def test_a_peer_in_an_earlier_round_gets_proof_polka_and_votes() -> None:
    bench = locked_bench()
    bench.prevotes(None, 1, 0, 1)
    assert bench.hear(status(0)) == ["send 9 VoteBundle", "send 9 polka A 0", "send 9 VoteBundle"]
    assert bench.hear(status(0, valid_round=0)) == ["send 9 VoteBundle", "send 9 VoteBundle"]


def test_a_peer_in_the_same_round_gets_what_it_lacks() -> None:
    bench = locked_bench()
    assert bench.hear(status(0)) == ["send 9 polka A 0", "send 9 proposal A 0", "send 9 polka A 0", "send 9 VoteBundle"]
    has_all = RoundStatus(HEIGHT, 0, Step.PRECOMMIT, 0, True, True, 0b1011, 0b1000)
    assert bench.hear(has_all) == []
    lacks_one = RoundStatus(HEIGHT, 0, Step.PRECOMMIT, 0, True, True, 0b0011, 0b1000)
    bench.hear(lacks_one)
    assert isinstance(bench.effects[-1], fx.Send)
    assert bench.effects[-1].message == VoteBundle(HEIGHT, (prevote("A", 0, 3),))


def test_a_proof_that_came_with_a_proposal_is_not_passed_on_unseen() -> None:
    bench = Bench(3)
    bench.prevotes(None, 2, 0, 1)
    false = polka("B", 1, (0, 1))
    assert "fault 9: polka: expected power 3 or more, got 2" in bench.hear(proposal("B", 2, valid_round=1, proof=false))
    assert bench.hear(status(2))[0] == "send 9 proposal B 2 vr1"
    bench.hear(polka("B", 1, (0, 1, 2)))
    assert bench.hear(status(2))[0] == "send 9 proposal B 2 vr1 with polka"


def test_a_peer_in_a_later_round_is_asked_back_but_not_in_circles() -> None:
    bench = Bench(3)
    assert bench.hear(status(4)) == ["send 9 RoundStatus"]
    other = Bench(2)
    other.prevotes(None, 4, 0, 1)
    answers = other.give(Received(bench.effects[-1].message, 9))  # type: ignore[union-attr]
    assert "send 9 RoundStatus" not in answers


def test_after_the_decision_a_status_gets_the_decision() -> None:
    bench = Bench(3)
    bench.hear(Decision(block("A"), commit("A", 0, (0, 1, 2))))
    bench.valid("A")
    assert bench.hear(status(0)) == ["send 9 Decision"]


def test_a_body_is_sent_to_who_asks_for_it() -> None:
    bench = Bench(3)
    bench.hear(proposal("A", 0))
    assert bench.hear(BlockRequest(HEIGHT, block_hash("A"))) == ["send 9 BlockReply"]
    assert bench.hear(BlockRequest(HEIGHT, block_hash("B"))) == []
    assert bench.hear(BlockRequest(HEIGHT + 1, block_hash("A"))) == []


def test_a_decision_needs_a_valid_body_here() -> None:
    bench = Bench(3)
    assert bench.hear(Decision(block("A"), commit("A", 0, (0, 1, 2)))) == ["validate A", "timer precommit 0"]
    assert bench.state().startswith("0 propose")
    assert bench.invalid("A") == ["halt A: a commit exists for a block that this node finds invalid"]


# -- hostile messages --------------------------------------------------------------------------------------------
def forged(message: Vote) -> Vote:
    return Vote(*[getattr(message, name) for name in Vote.__slots__[:-1]], FORGED)  # type: ignore[arg-type]


HOSTILE: dict[str, tuple[object, str]] = {
    "proposal out of turn": (proposal("A", 0, by=2), "proposal of validator 2 out of turn in round 0"),
    "proposal with another body": (
        ProposalMessage(proposal("A", 0).proposal, block("B")),
        "proposal with the body of another block",
    ),
    "polka without quorum": (polka("A", 0, (0, 1)), "polka: expected power 3 or more, got 2"),
    "polka with one vote twice": (
        Polka(HEIGHT, 0, NO_ROUND, block_hash("A"), (prevote("A", 0, 0),) * 3),
        "polka: expected ascending validators below 4, got 0 after 0",
    ),
    "polka with a forged vote": (
        Polka(HEIGHT, 0, NO_ROUND, block_hash("A"), (*polka("A", 0, (0, 1)).votes, forged(prevote("A", 0, 2)))),
        "polka: bad signature of validator 2",
    ),
    "polka with precommits": (
        Polka(HEIGHT, 0, NO_ROUND, block_hash("A"), commit("A", 0, (0, 1, 2)).votes),
        "polka: expected votes of",
    ),
    "polka with another valid round": (
        Polka(HEIGHT, 3, 1, block_hash("A"), polka("A", 3, (0, 1, 2), valid_round=0).votes),
        "polka: expected votes of",
    ),
    "polka of a round that cannot be": (polka("A", 0, (0, 1, 2), valid_round=0), "polka: valid round 0 is not below"),
    "commit without quorum": (commit("A", 0, (0, 1)), "commit certificate: expected power 3 or more, got 2"),
    "commit with a validator that is none": (
        CommitCertificate(HEIGHT, 0, block_hash("A"), (*commit("A", 0, (0, 1)).votes, precommit("A", 0, 4))),
        "commit certificate: expected ascending validators below 4, got 4 after 1",
    ),
    "commit with a forged vote": (
        CommitCertificate(HEIGHT, 0, block_hash("A"), (*commit("A", 0, (0, 1)).votes, forged(precommit("A", 0, 3)))),
        "commit certificate: bad signature of validator 3",
    ),
    "decision with another body": (
        Decision(block("B"), commit("A", 0, (0, 1, 2))),
        "decision with the body of another block",
    ),
    "bundle with a forged vote": (
        VoteBundle(HEIGHT, (prevote("A", 0, 0), forged(prevote("A", 0, 1)))),
        "bundle with a bad vote of validator 1",
    ),
    "bundle with a vote of another height": (
        VoteBundle(HEIGHT, (prevote("A", 0, 0, height=HEIGHT + 1),)),
        "bundle with a bad vote of validator 0",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_the_sender_of_a_false_message_is_named(name: str) -> None:
    message, reason = HOSTILE[name]
    bench = Bench(3)
    said = [words for words in bench.hear(message) if words.startswith("fault")]  # type: ignore[arg-type]
    assert len(said) == 1
    assert said[0].startswith(f"fault 9: {reason}")


def test_a_false_polka_with_a_good_proposal_costs_only_the_polka() -> None:
    bench = Bench(3)
    bench.prevotes(None, 2, 0, 1)
    said = bench.hear(proposal("B", 2, valid_round=1, proof=polka("B", 1, (0, 1))))
    assert said == ["validate B", "fault 9: polka: expected power 3 or more, got 2"]
    bench.valid("B")
    assert bench.state().startswith("2 propose")


def test_votes_of_validators_that_do_not_exist_are_ignored() -> None:
    bench = Bench(3)
    assert bench.hear(prevote("A", 0, 4), prevote("A", 0, -1), precommit("A", 99, 17)) == []
    assert bench.machine.votes.far == {}


def test_a_flood_of_far_rounds_takes_one_slot_a_validator() -> None:
    bench = Bench(3)
    for round in range(3, 500):
        bench.hear(prevote(None, round, 1), precommit(None, round * 7, 1))
    assert len(bench.machine.votes.far) == 1
    assert set(bench.machine.votes.rounds) == {0}


def test_of_many_proposals_of_one_round_two_are_kept() -> None:
    bench = Bench(3)
    said = bench.hear(*[proposal(name, 0) for name in "ABCDE"])
    assert said == ["validate A", "evidence validator 0 at height 5: two proposals in round 0", "validate B"]
    assert len(bench.machine.blocks) == 2


def test_long_heights_forget_old_rounds_but_not_what_binds() -> None:
    bench = locked_bench()
    for round in range(1, 60):
        bench.hear(proposal(f"x{round}", round, by=round % 4, body=round % 4 != 3))
        bench.precommits(None, round - 1, 0, 1, 2)
        bench.timeout(PRECOMMIT, round - 1)
        bench.timeout(PROPOSE, round)
    machine = bench.machine
    assert machine.round == 59
    assert len(machine.votes.rounds) <= KEPT_ROUNDS + WINDOW + 2
    assert len(machine.own) <= 3 * (KEPT_ROUNDS + 1)
    assert block_hash("A") in machine.blocks
    assert len(machine.blocks) < 12
    assert bench.state() == "59 prevote lock A0 valid A0"
    # an old round that has been forgotten still decides by certificate
    assert bench.hear(commit("A", 0, (0, 1, 2))) == ["decide A 0 012"]


def test_amnesia_is_evidence_in_either_order() -> None:
    for messages in (
        (precommit("A", 0, 1), prevote("B", 1, 1)),
        (prevote("B", 1, 1), precommit("A", 0, 1)),
    ):
        said = Bench(3).hear(*messages)
        expected = "evidence validator 1 at height 5: a prevote in round 1 against its precommit in round 0"
        assert said == [expected]


def test_a_prevote_with_a_newer_polka_is_no_amnesia() -> None:
    assert Bench(3).hear(precommit("A", 0, 1), prevote("B", 2, 1, valid_round=1)) == []
    assert Bench(3).hear(precommit("A", 0, 1), prevote("B", 1, 1, valid_round=0)) == []


def test_one_offence_is_told_once() -> None:
    bench = Bench(3)
    said = bench.hear(prevote("A", 0, 1), prevote("B", 0, 1), prevote(None, 0, 1), prevote("B", 0, 1))
    assert said == ["evidence validator 1 at height 5: two prevotes in round 0"]


def test_weights_decide_not_heads() -> None:
    bench = Bench(3, powers=(1, 1, 1, 7))
    bench.hear(proposal("A", 0, by=bench.machine.proposer(0)))
    assert bench.machine.proposer(0) == 3
    heavy = Bench(0, powers=(1, 1, 1, 7))
    heavy.hear(proposal("A", 0, by=3))
    heavy.valid("A")
    assert heavy.hear(precommit("A", 0, 3)) == ["decide A 0 3"]  # 7 of 10 is a quorum alone


def test_inputs_of_other_heights_and_before_the_start_mean_nothing() -> None:
    bench = Bench(3)
    for height in (HEIGHT - 1, HEIGHT + 1):
        assert bench.give(Timeout(PROPOSE, height, 0), Rebroadcast(height)) == []
        assert bench.give(Validity(height, block_hash("A"), True)) == []
    assert bench.give(Validity(HEIGHT, block_hash("unknown"), True)) == []
    fresh = type(bench.core)(None, lambda asked, _: True)
    assert fresh.step(Timeout(PROPOSE, 0, 0)) == []
    assert validator_set().quorum == 3
