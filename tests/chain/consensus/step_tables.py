"""The rules as tables: what happens, what the core says, where it then is. Lines are those of docs/consensus.md."""

from __future__ import annotations

from dataclasses import dataclass

from dmchain.chain.consensus.inputs import Input, Received, Timeout, TimerKind, Validity, Value, WorkAvailable
from dmchain.chain.consensus.machine import HeightMachine
from dmchain.chain.consensus.messages import Message
from tests.chain.consensus.bench import (
    HEIGHT,
    Bench,
    block,
    block_hash,
    commit,
    polka,
    precommit,
    prevote,
    proposal,
)

PROPOSE, PREVOTE, PRECOMMIT = TimerKind.PROPOSE, TimerKind.PREVOTE, TimerKind.PRECOMMIT


@dataclass(frozen=True)
class Row:
    """`lines`: which of the pseudo-code. `then` is the state, empty when it does not matter."""

    lines: str
    gives: tuple[Input, ...]
    says: list[str]
    then: str = ""


def hears(*messages: Message) -> tuple[Input, ...]:
    return tuple([Received(message, 9) for message in messages])


def valid(value: str) -> tuple[Input, ...]:
    return (Validity(HEIGHT, block_hash(value), True),)


def invalid(value: str) -> tuple[Input, ...]:
    return (Validity(HEIGHT, block_hash(value), False),)


def timeout(kind: TimerKind, round: int) -> tuple[Input, ...]:
    return (Timeout(kind, HEIGHT, round),)


TABLES: dict[str, tuple[int, bool, list[Row]]] = {
    "the good case, as proposer": (
        0,
        False,
        [
            Row(
                "9, 10, 14, 15",
                (WorkAvailable(HEIGHT),),
                ["get value 0", "timer propose 0"],
                "0 propose lock - valid -",
            ),
            Row(
                "36, 37, 23",
                (Value(HEIGHT, 0, block("A")),),
                ["broadcast proposal A 0 with body", "broadcast prevote A 0"],
                "0 prevote lock - valid -",
            ),
            Row("39", hears(prevote("A", 0, 1)), [], "0 prevote lock - valid -"),
            Row("28", hears(prevote("A", 0, 2)), ["broadcast precommit A 0"], "0 precommit lock A0 valid A0"),
            Row("39", hears(precommit("A", 0, 1)), []),
            Row("16, 17", hears(precommit("A", 0, 3)), ["decide A 0 013"], "0 commit lock A0 valid A0"),
        ],
    ),
    "the good case, as voter": (
        3,
        False,
        [
            Row("41", hears(proposal("A", 0)), ["validate A"], "-1 idle lock - valid -"),
            Row(
                "21, 15, 23",
                valid("A"),
                ["timer propose 0", "broadcast prevote A 0"],
                "0 prevote lock - valid -",
            ),
            Row(
                "28",
                hears(prevote("A", 0, 0), prevote("A", 0, 1)),
                ["broadcast precommit A 0"],
                "0 precommit lock A0 valid A0",
            ),
            Row("16, 17", hears(precommit("A", 0, 0), precommit("A", 0, 1)), ["decide A 0 013"]),
        ],
    ),
    "messages in any order": (
        3,
        True,
        [
            Row("39", hears(precommit("A", 0, 0), precommit("A", 0, 1)), []),
            Row("16", hears(precommit("A", 0, 2)), ["fetch A 0,1,2", "timer precommit 0"]),
            Row("41", hears(proposal("A", 0)), ["validate A"]),
            Row("17", valid("A"), ["decide A 0 012"]),
        ],
    ),
    "silent proposer: nil round by timeouts": (
        3,
        True,
        [
            Row("33", timeout(PROPOSE, 0), ["broadcast prevote nil 0"], "0 prevote lock - valid -"),
            Row("29", hears(prevote(None, 0, 1), prevote(None, 0, 2)), ["broadcast precommit nil 0"]),
            Row(
                "32", hears(precommit(None, 0, 1), precommit(None, 0, 2)), ["timer propose 1"], "1 propose lock - valid -"
            ),
        ],
    ),
    "a round given up before its propose timeout waits for that": (
        3,
        True,
        [
            Row("41", hears(proposal("A", 0)), ["validate A"]),
            Row("23", invalid("A"), ["broadcast prevote nil 0"]),
            Row("29", hears(prevote(None, 0, 1), prevote(None, 0, 2)), ["broadcast precommit nil 0"]),
            Row("32", hears(precommit(None, 0, 1), precommit(None, 0, 2)), ["timer precommit 0"]),
            Row("32", timeout(PROPOSE, 0), ["timer propose 1"], "1 propose lock - valid -"),
        ],
    ),
    "a round given up in part waits for the precommit timer": (
        3,
        True,
        [
            Row("33", timeout(PROPOSE, 0), ["broadcast prevote nil 0"]),
            Row("29", hears(prevote(None, 0, 1), prevote(None, 0, 2)), ["broadcast precommit nil 0"]),
            Row("32", hears(precommit(None, 0, 1), precommit("A", 0, 0)), ["timer precommit 0"]),
            Row("35", timeout(PRECOMMIT, 0), ["timer propose 1"], "1 propose lock - valid -"),
        ],
    ),
    "split prevotes: nil precommit by timeout": (
        3,
        True,
        [
            Row("33", timeout(PROPOSE, 0), ["broadcast prevote nil 0"]),
            Row("31", hears(prevote("A", 0, 0), prevote("A", 0, 1)), ["timer prevote 0"], "0 prevote lock - valid -"),
            Row("34", timeout(PREVOTE, 0), ["broadcast precommit nil 0"], "0 precommit lock - valid -"),
            Row("34", timeout(PREVOTE, 0), [], "0 precommit lock - valid -"),
        ],
    ),
    "an invalid proposal gets nil": (
        3,
        True,
        [
            Row("41", hears(proposal("A", 0)), ["validate A"]),
            Row("23", invalid("A"), ["broadcast prevote nil 0"], "0 prevote lock - valid -"),
        ],
    ),
    "an untimely fresh proposal gets nil": (
        3,
        True,
        [
            Row("41", (Received(proposal("A", 0), 9, False),), ["validate A"]),
            Row("23", valid("A"), ["broadcast prevote nil 0"]),
        ],
    ),
    "a proposal that re-proposes its own round gets nil": (
        3,
        True,
        [Row("25", hears(proposal("A", 0, valid_round=0)), ["validate A", "broadcast prevote nil 0"])],
    ),
    "locked: a fresh value of another proposer is refused and the polka told": (
        3,
        True,
        [
            Row("41", hears(proposal("A", 0)), ["validate A"]),
            Row("23", valid("A"), ["broadcast prevote A 0"]),
            Row("28", hears(prevote("A", 0, 0), prevote("A", 0, 1)), ["broadcast precommit A 0"]),
            Row("32", hears(precommit(None, 0, 1), precommit(None, 0, 2)), ["timer precommit 0"]),
            Row("35", timeout(PRECOMMIT, 0), ["timer propose 1"], "1 propose lock A0 valid A0"),
            Row("41", hears(proposal("B", 1)), ["validate B"]),
            Row("23, 26", valid("B"), ["broadcast polka A 0", "broadcast prevote nil 1"]),
        ],
    ),
    "locked: the same value without a polka is refused too (strict lock)": (
        3,
        True,
        [
            Row("41", hears(proposal("A", 0)), ["validate A"]),
            Row("23", valid("A"), ["broadcast prevote A 0"]),
            Row("28", hears(prevote("A", 0, 0), prevote("A", 0, 1)), ["broadcast precommit A 0"]),
            Row("32", hears(precommit(None, 0, 1), precommit(None, 0, 2)), ["timer precommit 0"]),
            Row("35", timeout(PRECOMMIT, 0), ["timer propose 1"]),
            Row("23, 26", hears(proposal("A", 1)), ["broadcast polka A 0", "broadcast prevote nil 1"]),
        ],
    ),
    "a re-proposal waits for its polka, and with it frees from an older lock": (
        3,
        True,
        [
            Row("41", hears(proposal("A", 0)), ["validate A"]),
            Row("23", valid("A"), ["broadcast prevote A 0"]),
            Row("28", hears(prevote("A", 0, 0), prevote("A", 0, 1)), ["broadcast precommit A 0"]),
            Row(
                "20",
                hears(prevote("B", 2, 0), prevote("B", 2, 1)),
                ["timer propose 2"],
                "2 propose lock A0 valid A0",
            ),
            Row("41", hears(proposal("B", 2, valid_round=1)), ["validate B"]),
            Row("24", valid("B"), [], "2 propose lock A0 valid A0"),
            Row(
                "42, 19, 24",
                hears(polka("B", 1, (0, 1, 2))),
                ["broadcast prevote B 2 vr1", "timer prevote 2"],
                "2 prevote lock A0 valid B1",
            ),
        ],
    ),
    "a re-proposal with an older polka than the lock is refused": (
        3,
        True,
        [
            Row("20", hears(prevote("A", 1, 0), prevote("A", 1, 1)), ["timer propose 1"]),
            Row("41", hears(proposal("A", 1)), ["validate A"]),
            Row("23, 28", valid("A"), ["broadcast prevote A 1", "broadcast precommit A 1"]),
            Row("20", hears(prevote("B", 2, 0, 0), prevote("B", 2, 1, 0)), ["timer propose 2"]),
            Row("41, 42", hears(proposal("B", 2, valid_round=0, proof=polka("B", 0, (0, 1, 2)))), ["validate B"]),
            Row(
                "24, 26",
                valid("B"),
                ["broadcast polka A 1", "broadcast prevote nil 2", "timer prevote 2"],
                "2 prevote lock A1 valid A1",
            ),
        ],
    ),
    "a polka seen late makes the value valid, not locked": (
        3,
        True,
        [
            Row("41", hears(proposal("A", 0)), ["validate A"]),
            Row("23", valid("A"), ["broadcast prevote A 0"]),
            Row("31", hears(prevote(None, 0, 1), prevote(None, 0, 2)), ["timer prevote 0"]),
            Row("34", timeout(PREVOTE, 0), ["broadcast precommit nil 0"]),
            Row(
                "19",
                hears(polka("A", 0, (0, 1, 3))),
                [
                    "evidence validator 1 at height 5: two prevotes in round 0",
                ],
                "0 precommit lock - valid A0",
            ),
        ],
    ),
    "the proposer re-proposes the newest polka it knows": (
        1,
        True,
        [
            Row("41", hears(proposal("A", 0)), ["validate A"]),
            Row("23", valid("A"), ["broadcast prevote A 0"]),
            Row("31", hears(prevote(None, 0, 2), prevote("A", 0, 0)), ["timer prevote 0"]),
            Row("34", timeout(PREVOTE, 0), ["broadcast precommit nil 0"]),
            Row("19", hears(prevote("A", 0, 3)), [], "0 precommit lock - valid A0"),
            Row("32", hears(precommit(None, 0, 2), precommit(None, 0, 3)), ["timer precommit 0"]),
            Row(
                "35, 13, 24",
                timeout(PRECOMMIT, 0),
                [
                    "timer propose 1",
                    "broadcast proposal A 1 vr0 with body with polka",
                    "broadcast prevote A 1 vr0",
                ],
            ),
        ],
    ),
    "a polka that comes while a block is built goes first": (
        1,
        True,
        [
            Row("20", hears(prevote(None, 1, 2), prevote(None, 1, 3)), ["get value 1", "timer propose 1"]),
            Row("41", hears(proposal("A", 0)), ["validate A"]),
            Row("19", (*valid("A"), *hears(polka("A", 0, (0, 2, 3)))), [], "1 propose lock - valid A0"),
            Row(
                "14, 13, 24",
                (Value(HEIGHT, 1, block("B")),),
                ["broadcast proposal A 1 vr0 with body with polka", "broadcast prevote A 1 vr0", "timer prevote 1"],
            ),
        ],
    ),
    "round skip by votes of more than a third": (
        3,
        True,
        [
            Row("40", hears(precommit(None, 9, 0)), [], "0 propose lock - valid -"),
            Row("20", hears(prevote(None, 7, 1)), ["get value 7", "timer propose 7"], "7 propose lock - valid -"),
        ],
    ),
    "precommits of an earlier round decide": (
        3,
        True,
        [
            Row("41", hears(proposal("A", 0)), ["validate A"]),
            Row("23", valid("A"), ["broadcast prevote A 0"]),
            Row("20", hears(prevote(None, 2, 0), prevote(None, 2, 1)), ["timer propose 2"]),
            Row("16, 17", hears(precommit("A", 0, 0), precommit("A", 0, 1), precommit("A", 0, 2)), ["decide A 0 012"]),
        ],
    ),
    "a commit certificate decides, votes that conflict with it notwithstanding": (
        3,
        True,
        [
            Row("41", hears(proposal("A", 0)), ["validate A"]),
            Row("23", valid("A"), ["broadcast prevote A 0"]),
            Row("39", hears(precommit("B", 0, 0), precommit(None, 0, 1)), []),
            Row(
                "43, 16, 17",
                hears(commit("A", 0, (0, 1, 2))),
                [
                    "evidence validator 0 at height 5: two precommits in round 0",
                    "evidence validator 1 at height 5: two precommits in round 0",
                    "decide A 0 012",
                ],
            ),
        ],
    ),
    "a polka for an unknown block: fetch it": (
        3,
        True,
        [
            Row("33", timeout(PROPOSE, 0), ["broadcast prevote nil 0"]),
            Row("30", hears(polka("A", 0, (0, 1, 2))), ["fetch A 0,1,2", "timer prevote 0"]),
        ],
    ),
    "a polka for an invalid block: halt": (
        3,
        True,
        [
            Row("41", hears(proposal("A", 0)), ["validate A"]),
            Row("23", invalid("A"), ["broadcast prevote nil 0"]),
            Row(
                "30",
                hears(polka("A", 0, (0, 1, 2))),
                ["halt A: a polka exists for a block that this node finds invalid"],
                "0 halted lock - valid -",
            ),
            Row("30", timeout(PREVOTE, 0), []),
        ],
    ),
    "a polka of an earlier round for an invalid block: halt": (
        3,
        True,
        [
            Row("41", hears(proposal("A", 0)), ["validate A"]),
            Row("23", invalid("A"), ["broadcast prevote nil 0"]),
            Row("20", hears(prevote(None, 1, 0), prevote(None, 1, 1)), ["timer propose 1"]),
            Row(
                "19",
                hears(polka("A", 0, (0, 1, 2))),
                ["halt A: a polka exists for a block that this node finds invalid"],
            ),
        ],
    ),
    "a commit for an invalid block: halt": (
        3,
        True,
        [
            Row("41", hears(proposal("A", 0)), ["validate A"]),
            Row("23", invalid("A"), ["broadcast prevote nil 0"]),
            Row(
                "18",
                hears(commit("A", 0, (0, 1, 2))),
                ["halt A: a commit exists for a block that this node finds invalid"],
            ),
        ],
    ),
    "a height begins when others have begun it": (
        3,
        False,
        [
            Row("39", hears(prevote(None, 0, 0)), [], "-1 idle lock - valid -"),
            Row("20", hears(prevote(None, 0, 1)), ["timer propose 0"], "0 propose lock - valid -"),
        ],
    ),
    "a height begins by the heartbeat": (
        3,
        False,
        [Row("9", timeout(TimerKind.HEARTBEAT, 0), ["timer propose 0"], "0 propose lock - valid -")],
    ),
    "timers of a past round or step mean nothing": (
        3,
        True,
        [
            Row("33", timeout(PROPOSE, 0), ["broadcast prevote nil 0"]),
            Row("33", timeout(PROPOSE, 0), []),
            Row("33", timeout(PROPOSE, 1), []),
            Row("35", timeout(PRECOMMIT, 1), []),
            Row("9", timeout(TimerKind.HEARTBEAT, 0), [], "0 prevote lock - valid -"),
        ],
    ),
}


def run_table(name: str, machine: type[HeightMachine] = HeightMachine) -> None:
    """Play a table on a core made of `machine`; raises AssertionError at the first row that comes out differently."""
    me, awake, rows = TABLES[name]
    bench = Bench(me, awake=awake, machine=machine)
    for number, row in enumerate(rows):
        where = f"row {number}, lines {row.lines}"
        assert bench.give(*row.gives) == row.says, where
        if row.then:
            assert bench.state() == row.then, where
