"""Storage layouts: in a form that does not depend on the compilation, and the rule that upgrades keep them.

A proxy's storage outlives its code. The next implementation may add variables after the last one and nothing else: a
variable that moves, or is read as another type, is somebody's money read as something else. `check_layout` tells.
OpenZeppelin's own parents keep their state in namespaces (ERC-7201), which solc's layout leaves out; their version is
pinned, and they follow the same rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NUMBERED = re.compile(r"t_(struct|contract|enum|userDefinedValueType)\((\w+)\)(\d+)")


class LayoutChanged(Exception):
    """The new layout does not just append to the old one; the message names each variable."""


def normalize_layout(layout: Mapping[str, Any]) -> dict[str, Any]:
    """solc's storageLayout without the numbers of its syntax tree.

    Variables as {"label", "type", "slot", "offset"}; `types` by names such as ``t_struct(IMarket.Offer)``.
    """
    types: Mapping[str, Any] = layout.get("types") or {}
    qualified = {}
    for name, described in types.items():
        match = _NUMBERED.match(name)
        if match:
            # "struct IMarket.Offer" -> "IMarket.Offer": two structs may have the same short name
            qualified[match.group(3)] = described["label"].removesuffix("[]").split(" ")[-1]

    def rename(name: str) -> str:
        return _NUMBERED.sub(lambda found: f"t_{found[1]}({qualified.get(found[3], found[2])})", name)

    def variable(entry: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "label": entry["label"],
            "type": rename(entry["type"]),
            "slot": entry["slot"],
            "offset": entry["offset"],
        }

    normal: dict[str, Any] = {}
    for name, described in types.items():
        kept = {"label": described["label"], "encoding": described["encoding"], "bytes": described["numberOfBytes"]}
        kept |= {part: rename(described[part]) for part in ("key", "value", "base") if part in described}
        if "members" in described:
            kept["members"] = [variable(each) for each in described["members"]]
        normal[rename(name)] = kept
    return {"storage": [variable(each) for each in layout["storage"]], "types": dict(sorted(normal.items()))}


def check_layout(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise LayoutChanged unless `new` has every variable of `old` where it was, as what it was.

    Both as `normalize_layout` returns them (and as artifacts hold them). Allowed beyond new variables at the end: new
    names for variables; fields appended to a struct that is only ever a value of a mapping, where nothing follows it.
    """
    problems = _compare_variables(old["storage"], new["storage"], old, new, "", may_append=True)
    if problems:
        raise LayoutChanged("storage layout: " + "; ".join(problems))


def _compare_variables(
    before: list[Any], after: list[Any], old: Mapping[str, Any], new: Mapping[str, Any], where: str, *, may_append: bool
) -> list[str]:
    problems = []
    for index, variable in enumerate(before):
        name = f"{where}{variable['label']}"
        if index >= len(after):
            problems.append(f"{name} was removed")
            continue
        now = after[index]
        if (now["slot"], now["offset"]) != (variable["slot"], variable["offset"]):
            problems.append(
                f"{name} was at slot {variable['slot']} offset {variable['offset']}, there is {now['label']} "
                f"at slot {now['slot']} offset {now['offset']} now"
            )
            continue
        if now["label"] != variable["label"] and any(each["label"] == variable["label"] for each in after):
            problems.append(f"{name} gave its place to {now['label']}")
            continue
        problems += _compare_types(variable["type"], now["type"], old, new, name, in_mapping=False, seen=set())
    if not may_append and len(after) > len(before):
        problems += [f"{where}{each['label']} was added, and something follows" for each in after[len(before) :]]
    return problems


def _compare_types(
    before: str,
    after: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    where: str,
    *,
    in_mapping: bool,
    seen: set[str],
) -> list[str]:
    """Why values of type `before` cannot be read as `after`; a type may be renamed but not be another."""
    if before in seen:
        return []  # a struct that holds a mapping to itself
    seen = seen | {before}
    was, now = old["types"][before], new["types"][after]
    if was["encoding"] != now["encoding"]:
        return [f"{where} was {was['label']}, is {now['label']} now"]
    if was["encoding"] == "mapping":
        problems = _compare_types(was["key"], now["key"], old, new, f"{where}, key", in_mapping=False, seen=seen)
        return problems + _compare_types(
            was["value"], now["value"], old, new, f"{where}, value", in_mapping=True, seen=seen
        )
    if "members" in was and "members" in now:
        problems = _compare_members(was, now, old, new, where, in_mapping=in_mapping, seen=seen)
        return problems
    if was["bytes"] != now["bytes"]:
        return [f"{where} was {was['label']}, is {now['label']} now"]
    if "base" in was and "base" in now:
        return _compare_types(was["base"], now["base"], old, new, f"{where}, element", in_mapping=False, seen=seen)
    if _kind(before) != _kind(after):
        return [f"{where} was {was['label']}, is {now['label']} now"]
    return []


def _compare_members(
    was: Mapping[str, Any],
    now: Mapping[str, Any],
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    where: str,
    *,
    in_mapping: bool,
    seen: set[str],
) -> list[str]:
    problems = []
    for index, member in enumerate(was["members"]):
        name = f"{where}.{member['label']}"
        if index >= len(now["members"]):
            problems.append(f"{name} was removed")
            continue
        there = now["members"][index]
        moved = (there["slot"], there["offset"]) != (member["slot"], member["offset"])
        swapped = there["label"] != member["label"] and any(each["label"] == member["label"] for each in now["members"])
        if moved or swapped:
            problems.append(f"{name} gave its place to {there['label']}")
            continue
        problems += _compare_types(member["type"], there["type"], old, new, name, in_mapping=False, seen=seen)
    added = now["members"][len(was["members"]) :]
    if added and not in_mapping and now["bytes"] != was["bytes"]:
        problems.append(f"{where} grew by {', '.join(each['label'] for each in added)}, and something may follow it")
    return problems


def _kind(name: str) -> str:
    """What values mean: contracts and addresses are the same, enums and value types are what their sizes say."""
    if name.startswith(("t_contract(", "t_address")):
        return "address"
    return re.sub(r"\(.*", "", name)
