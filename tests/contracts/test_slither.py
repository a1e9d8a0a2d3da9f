"""What `make slither` makes of Slither's report and of the answers; Slither itself does not run here."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tools.contracts.slither import ANSWERS, SlitherFailed, compare, name_finding, read_answers

ROWS = """
| detector | place | findings | answer |
|---|---|---|---|
| `reentrancy-benign` | Escrow.open, Escrow.topUp | 1 | Only the manager calls. |
| `timestamp` | everywhere | 3 | Deadlines are of hours. |
| `timestamp` | Oracle.draw | 1 | Looks at block hashes too. |
"""


def element(kind: str, name: str, parent: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    fields = {**more, **({"parent": parent} if parent else {})}
    source = {"filename_relative": "dmchain/Escrow.sol"}
    return {"type": kind, "name": name, "type_specific_fields": fields, "source_mapping": source}


CONTRACT = element("contract", "Escrow")


def test_a_finding_is_named_by_its_first_function_without_lines() -> None:
    function = element("function", "open", CONTRACT, signature="open(uint256)")
    node = element("node", "x = 5", function)
    assert name_finding({"check": "reentrancy-benign", "elements": [node, function]}) == (
        "reentrancy-benign",
        "Escrow.open",
    )
    variable = element("variable", "count", CONTRACT)
    assert name_finding({"check": "immutable-states", "elements": [variable]})[1] == "Escrow.count"
    pragma = element("pragma", "^0.8.28", directive=["solidity", "^", "0.8", ".28"])
    assert name_finding({"check": "solc-version", "elements": [pragma]})[1] == "^0.8.28"


def test_each_place_of_a_row_is_answered() -> None:
    answers = read_answers(ROWS)
    assert answers["reentrancy-benign", "Escrow.topUp"] == answers["reentrancy-benign", "Escrow.open"] == 1
    assert len(answers) == 4
    with pytest.raises(SlitherFailed, match="twice"):
        read_answers(ROWS + ROWS)


def test_what_is_new_and_what_is_gone_are_both_told() -> None:
    answers = read_answers(ROWS)
    found = Counter({("reentrancy-benign", "Escrow.open"): 1, ("reentrancy-benign", "Escrow.topUp"): 1})
    found.update({("timestamp", "A.a"): 2, ("timestamp", "B.b"): 1, ("timestamp", "Oracle.draw"): 1})
    assert compare(found, answers) == []
    assert len(compare(found + Counter({("timestamp", "C.c"): 1}), answers)) == 1
    assert len(compare(found + Counter({("suicidal", "C.c"): 1}), answers)) == 1
    assert len(compare(found + Counter({("timestamp", "Oracle.draw"): 1}), answers)) == 1
    assert "only 0 found" in compare(found - Counter({("reentrancy-benign", "Escrow.open"): 1}), answers)[0]


def test_the_committed_answers_can_be_read() -> None:
    if ANSWERS.exists():
        assert read_answers(ANSWERS.read_text())
