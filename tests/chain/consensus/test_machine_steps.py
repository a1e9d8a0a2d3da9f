"""The rules, row by row (step_tables.py), and that every line of the pseudo-code has its row and its place in the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dmchain.chain.consensus as package
from tests.chain.consensus.step_tables import TABLES, run_table

ROOT = Path(__file__).parents[3]
RULES = {9, 10, *range(13, 27), *range(28, 38), 39, 40, 41, 42, 43}
"""Lines that a table can show; the others are of recovery, heights and catching up (test_core.py)."""


@pytest.mark.parametrize("name", TABLES)
def test_steps(name: str) -> None:
    run_table(name)


def test_every_rule_has_a_row() -> None:
    shown = {int(line) for _, _, rows in TABLES.values() for row in rows for line in row.lines.split(", ")}
    assert RULES - shown - {22} == set()  # 22 is the condition of the three after it


def pseudo_code_lines() -> set[int]:
    text = (ROOT / "docs" / "consensus.md").read_text()
    return {int(number) for number in re.findall(r"^ *(\d+)  +\S", text, re.MULTILINE)}


def cited_lines() -> set[int]:
    cited: set[int] = set()
    for path in Path(package.__path__[0]).glob("*.py"):
        for first, second, last in re.findall(r"(?:#|[Ll]ines?) (\d+)(?:(,| and| to) (\d+))?", path.read_text()):
            cited |= set(range(int(first), int(last) + 1)) if second == " to" else {int(first), int(last or first)}
    return cited


def test_the_code_cites_every_line_of_the_pseudo_code_and_no_other() -> None:
    lines = pseudo_code_lines()
    assert lines == set(range(1, len(lines) + 1))
    assert lines - cited_lines() == set()
