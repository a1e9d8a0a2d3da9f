"""The check of storage layouts lets upgrades append, and nothing else."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from tests.contracts.chain import TEST_SOURCES
from tools.contracts import artifacts
from tools.contracts.compiler import compile_unit, unit_name
from tools.contracts.layouts import LayoutChanged, check_layout, normalize_layout


@cache
def layout(name: str) -> dict[str, Any]:
    compiled = compile_unit(unit_name(TEST_SOURCES / "Layouts.sol"))[name]
    return normalize_layout(compiled.output["storageLayout"])


@pytest.mark.parametrize("name", ["First", "Same", "Appended", "AppendedInsideMapping"])
def test_appending_and_renaming_keep_the_storage(name: str) -> None:
    check_layout(layout("First"), layout(name))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Swapped", "_offers"),
        ("Retyped", "_owner was address, is uint160 now"),
        ("Inserted", "_owner gave its place to _new; _offers was at slot 1 offset 0, there is _owner"),
        ("Removed", "_list was removed"),
        ("Widened", r"_offers, value\.price gave its place|_offers, value\.price was uint96"),
        ("Rekeyed", "_offers, key was bytes32, is address now"),
        ("InlineGrown", "_inline grew by high|_list was at slot"),
        ("Elements", "_list, element was uint256, is uint128 now"),
    ],
)
def test_anything_else_is_refused_with_the_name_of_the_variable(name: str, message: str) -> None:
    with pytest.raises(LayoutChanged, match=message):
        check_layout(layout("First"), layout(name))


def test_two_variables_of_one_type_may_not_change_places() -> None:
    with pytest.raises(LayoutChanged, match="_a gave its place to _b"):
        check_layout(layout("SwappedAlike"), layout("SwappedAlikeAfter"))


def test_what_was_appended_stays_too() -> None:
    with pytest.raises(LayoutChanged, match="_more was removed"):
        check_layout(layout("Appended"), layout("First"))


def test_layouts_hold_no_numbers_of_the_syntax_tree() -> None:
    types = layout("First")["types"]
    assert "t_struct(Types.Offer)" in str(types)
    assert not [name for name in types if name.rstrip("_storage").endswith(tuple("0123456789")) and "(" in name]


def test_a_rebuild_that_moves_storage_is_refused(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "LAYOUTS", tmp_path)
    first, swapped = ({"Market": json.dumps({"storageLayout": layout(name)})} for name in ("First", "Swapped"))
    assert artifacts.layout_problems(first) == []
    (problem,) = artifacts.layout_problems(swapped)
    assert problem.startswith("Market: storage layout: ")
    assert artifacts.layout_problems(swapped, accept=True) == []
    assert artifacts.layout_problems(swapped) == []
