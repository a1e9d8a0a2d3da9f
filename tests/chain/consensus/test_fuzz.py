"""Whatever well-formed nonsense comes, the core neither fails nor grows, and never contradicts itself."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.consensus import effects as fx
from dmchain.chain.consensus.inputs import Input, Rebroadcast, Received, Timeout, TimerKind, Validity, WorkAvailable
from dmchain.chain.consensus.messages import (
    NO_ROUND,
    PRECOMMIT,
    PREVOTE,
    BlockReply,
    BlockRequest,
    CommitCertificate,
    Decision,
    Polka,
    Proposal,
    ProposalMessage,
    RoundStatus,
    Step,
    Vote,
    VoteBundle,
)
from dmchain.chain.consensus.votes import KEPT_ROUNDS, WINDOW
from tests.chain.consensus.bench import FORGED, HEIGHT, SIGNATURE, Bench, block, block_hash

ME = 3
names = st.sampled_from("ABC")
heights = st.sampled_from((HEIGHT, HEIGHT, HEIGHT, HEIGHT, HEIGHT - 1, HEIGHT + 1, HEIGHT + 9))
rounds = st.one_of(st.integers(0, 3), st.sampled_from((17, 40, 10**6)))
others = st.sampled_from((0, 1, 2, 0, 1, 2, 4, 1023))
"""Nobody else can sign for the core itself; 4 and above are in no set."""
signatures = st.sampled_from((SIGNATURE, SIGNATURE, SIGNATURE, FORGED))


@st.composite
def votes(draw: st.DrawFn, *, signed: bool = False) -> Vote:
    kind, round = draw(st.sampled_from((PREVOTE, PRECOMMIT))), draw(rounds)
    value = draw(st.one_of(st.none(), names))
    valid_round = draw(st.integers(NO_ROUND, min(round, 4) - 1)) if kind == PREVOTE and value else NO_ROUND
    chosen = None if value is None else block_hash(value)
    signature = SIGNATURE if signed else draw(signatures)
    return Vote(kind, draw(heights), round, valid_round, chosen, draw(others), signature)


@st.composite
def certificates(draw: st.DrawFn) -> Polka | CommitCertificate:
    round, value, height = draw(rounds), block_hash(draw(names)), draw(heights)
    kind, valid_round = draw(st.sampled_from((PREVOTE, PRECOMMIT))), NO_ROUND
    cast = tuple(
        [
            Vote(kind, height, round, valid_round, value, voter, draw(signatures))
            for voter in draw(st.sampled_from(((0, 1, 2), (0, 1), (1, 1, 1), (2, 1, 0), (0, 1, 4))))
        ]
    )
    if kind == PREVOTE:
        return Polka(height, round, valid_round, value, cast)
    return CommitCertificate(height, round, value, cast)


polkas = certificates().filter(lambda made: isinstance(made, Polka))
commits = certificates().filter(lambda made: isinstance(made, CommitCertificate))


@st.composite
def proposals(draw: st.DrawFn) -> ProposalMessage:
    round, name = draw(rounds), draw(names)
    statement = Proposal(
        draw(heights), round, draw(st.integers(NO_ROUND, min(round, 4))), block_hash(name), draw(others), SIGNATURE
    )
    body = draw(st.one_of(st.none(), st.just(block(name)), names.map(block)))
    return ProposalMessage(statement, body, draw(st.one_of(st.none(), polkas)))  # type: ignore[arg-type]


statuses = st.builds(
    RoundStatus, heights, st.integers(NO_ROUND, 50), st.sampled_from(Step), st.integers(NO_ROUND, 5),
    st.booleans(), st.booleans(), st.integers(0, 2**9), st.integers(0, 2**9),
)  # fmt: skip
messages = st.one_of(
    votes(signed=True),
    proposals(),
    certificates(),
    st.builds(VoteBundle, heights, st.lists(votes(), max_size=4).map(tuple)),
    st.builds(Decision, names.map(block), commits),  # type: ignore[arg-type]
    statuses,
    st.builds(BlockRequest, heights, names.map(block_hash)),
    st.builds(BlockReply, heights, names.map(block)),
)
inputs = st.one_of(
    st.builds(Received, messages, st.integers(5, 7), st.booleans()),
    st.builds(Timeout, st.sampled_from(TimerKind), heights, st.integers(0, 3)),
    st.builds(Validity, heights, names.map(block_hash), st.sampled_from((True, True, True, False))),
    st.builds(Rebroadcast, heights),
    st.builds(WorkAvailable, heights),
)


@given(st.lists(inputs, max_size=60))
@settings(max_examples=400, deadline=None)
def test_the_core_survives_nonsense(happened: list[Input]) -> None:
    bench = Bench(ME)
    locked = NO_ROUND
    for one in happened:
        bench.give(one)
        machine = bench.machine
        assert machine.locked_round >= locked
        locked = machine.locked_round
        assert machine.locked_round <= machine.valid_round
        assert len(machine.votes.far) <= 4
        assert len(machine.votes.rounds) <= KEPT_ROUNDS + WINDOW + 6
        assert len(machine.blocks) <= 3
    said: dict[tuple[int, int], object] = {}
    for effect in bench.effects:
        if isinstance(effect, fx.Sign):
            key = (effect.message.kind, effect.message.round)
            assert said.setdefault(key, effect.message) == effect.message
    decided = [effect for effect in bench.effects if isinstance(effect, fx.Decide | fx.Halt)]
    assert len(decided) <= 1


@given(st.lists(inputs, max_size=30), st.lists(inputs, max_size=30))
@settings(max_examples=150, deadline=None)
def test_a_crash_anywhere_contradicts_nothing(before: list[Input], after: list[Input]) -> None:
    first = Bench(ME)
    first.give(*before)
    if not first.records or first.core.halted:
        return
    second = Bench(ME, record=first.records[-1])
    second.give(*after)
    said: dict[tuple[int, int], object] = {}
    for bench in (first, second):
        for effect in bench.effects:
            if isinstance(effect, fx.Broadcast) and isinstance(effect.message, Vote):
                key = (effect.message.kind, effect.message.round)
                assert said.setdefault(key, effect.message) == effect.message
    assert second.machine.locked_round >= first.records[-1].locked_round


def test_the_same_inputs_give_the_same_effects() -> None:
    @given(st.lists(inputs, max_size=40))
    @settings(max_examples=100, deadline=None)
    def check(happened: list[Input]) -> None:
        one, other = Bench(ME), Bench(ME)
        assert one.give(*happened) == other.give(*happened)
        assert one.effects == other.effects

    check()
