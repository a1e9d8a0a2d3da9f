"""``make slither``: Slither over the market's contracts, and each of its findings answered or the build fails.

Slither compiles with a native solc, which is no dependency of this project; so solc from npm compiles here, all of the
contracts in one run with syntax trees and source maps, and its standard JSON is laid out as Hardhat leaves it
(``artifacts/build-info``), which Slither reads instead of compiling. Slither runs in a virtual environment of its own,
``.setup/slither``, with the versions of slither-requirements.txt.

A finding is named by its detector and the function, variable or contract it is about, without line numbers. The
answers are tables in docs/market/slither.md, whose rows read

    | `detector` | Contract.function, Contract.other | findings at each | answer |

with `everywhere` as the place for all findings of a detector that no other row names (the number is their sum then). A
finding without a row, a row without a finding, and numbers that differ, are errors.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tools.contracts.artifacts import contract_names
from tools.contracts.compiler import (
    CONTRACTS,
    REPOSITORY,
    SETTINGS,
    WELL_KNOWN,
    CompilationFailed,
    collect_sources,
    compiler_version,
    install_modules,
    run_solc,
    unit_name,
)
from tools.npm import ToolchainUnavailable

REQUIREMENTS = Path(__file__).with_name("slither-requirements.txt")
ENVIRONMENT = REPOSITORY / ".setup" / "slither"
PROJECT = REPOSITORY / ".setup" / "slither-project"
ANSWERS = REPOSITORY / "docs" / "market" / "slither.md"
RUN_TIMEOUT_S = 900
INSTALL_TIMEOUT_S = 600
OUTPUTS = ["abi", "evm.bytecode.object", "evm.bytecode.sourceMap", "evm.deployedBytecode.object"]
OUTPUTS += ["evm.deployedBytecode.sourceMap", "devdoc", "userdoc"]
OUTSIDE = "@openzeppelin"
"""Findings that are about this alone are the library's."""
EVERYWHERE = "everywhere"
IMPACTS = ("High", "Medium", "Low", "Informational", "Optimization")

_ROW = re.compile(r"^\| `(?P<detector>[a-z0-9-]+)` \| (?P<places>.+?) \| (?P<count>\d+) \| (?P<answer>.+?) \|$")

Finding = tuple[str, str]
"""(detector, places in the order of their names, parted by a comma and a space)"""


class SlitherFailed(Exception):
    """It could not be installed or run; the message says what it printed."""


def install_slither() -> Path:
    """The slither program of the pinned version; installs it when that was not done for these requirements."""
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    stamp = ENVIRONMENT / ".installed"
    if not (stamp.exists() and stamp.read_text() == wanted):
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "--requirement"]
        done = subprocess.run(
            [*pip, str(REQUIREMENTS)], capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
        )
        if done.returncode != 0:
            raise SlitherFailed(f"pip install failed: {done.stderr[-2000:]}")
        stamp.write_text(wanted)
    return ENVIRONMENT / "bin" / "slither"


def make_project(names: list[str]) -> Path:
    """Compile these contracts in one run and lay the result out as Hardhat does.

    Raises CompilationFailed, ToolchainUnavailable.
    """
    install_modules()
    units = [WELL_KNOWN.get(name) or unit_name(CONTRACTS / f"{name}.sol") for name in names]
    sources: dict[str, str] = {}
    for unit in units:
        sources.update(collect_sources(unit))
    request = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in sorted(sources.items())},
        "settings": {**SETTINGS, "outputSelection": {"*": {"*": OUTPUTS, "": ["ast"]}}},
    }
    answer = run_solc(json.dumps(request, sort_keys=True))
    shutil.rmtree(PROJECT, ignore_errors=True)
    for name, text in sources.items():
        (PROJECT / name).parent.mkdir(parents=True, exist_ok=True)
        (PROJECT / name).write_text(text)
    (PROJECT / "hardhat.config.js").write_text("// never read: it tells Slither how to read artifacts/build-info\n")
    info = PROJECT / "artifacts" / "build-info" / "market.json"
    info.parent.mkdir(parents=True)
    info.write_text(json.dumps({"solcVersion": compiler_version(), "input": request, "output": answer}))
    return PROJECT


def run_slither(project: Path, options: list[str]) -> list[dict[str, Any]]:
    """What all detectors found, as Slither's JSON has it; raises SlitherFailed."""
    program = install_slither()
    report = project / "report.json"
    command = [str(program), ".", "--hardhat-ignore-compile", "--compile-force-framework", "hardhat"]
    command += ["--exclude-dependencies", "--filter-paths", OUTSIDE, "--json", report.name, *options]
    # slither looks for solc on PATH even when it does not run it
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=project,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    if not report.exists():
        raise SlitherFailed(f"slither stopped: {(done.stderr or done.stdout)[-3000:]}")
    result = json.loads(report.read_text())
    if not result["success"]:
        raise SlitherFailed(f"slither stopped: {result['error']}")
    found: list[dict[str, Any]] = result["results"].get("detectors", [])
    return found


def place_of(element: dict[str, Any]) -> str:
    """`Contract.function` of an element; the contract or file itself where there is no more."""
    names: list[str] = []
    inner: dict[str, Any] | None = element
    while inner:
        if inner["type"] in ("function", "variable", "contract", "struct", "event", "enum"):
            names.insert(0, inner["name"].split("(")[0])
        elif inner["type"] == "pragma":
            names.insert(0, "".join(inner["type_specific_fields"]["directive"][1:]))
        inner = inner.get("type_specific_fields", {}).get("parent")
    return ".".join(names) or Path(element["source_mapping"]["filename_relative"]).name


def name_finding(result: dict[str, Any]) -> Finding:
    """The name of a finding: the first function it is about, or else everything it is about.

    What a function does (its nodes, the variables it writes) may change without the finding being another one.
    """
    elements = result["elements"]
    functions = [element for element in elements if element["type"] == "function"]
    places = [place_of(element) for element in (functions[:1] or elements[:1])]
    return result["check"], ", ".join(dict.fromkeys(places))


def read_answers(text: str) -> dict[Finding, int]:
    """The rows of the tables and how many findings each answers; raises SlitherFailed for a row that comes twice."""
    answers: dict[Finding, int] = {}
    for line in text.splitlines():
        if (row := _ROW.match(line)) is None:
            continue
        for place in row["places"].split(", "):
            name = (row["detector"], place.strip("`"))
            if name in answers:
                raise SlitherFailed(f"{ANSWERS.name} answers {name[0]} at {name[1]} twice")
            answers[name] = int(row["count"])
    return answers


def compare(found: Counter[Finding], answers: dict[Finding, int]) -> list[str]:
    """What is not as the answers say, one line each."""
    problems = []
    gathered: Counter[Finding] = Counter()
    for name, seen in found.items():
        everywhere = (name[0], EVERYWHERE)
        gathered[everywhere if name not in answers and everywhere in answers else name] += seen
    found = gathered
    for name in sorted(found.keys() | answers.keys()):
        seen, answered = found[name], answers.get(name, 0)
        if seen > answered:
            problems.append(f"{name[0]} at {name[1]}: {seen} found, {answered} answered in {ANSWERS.name}")
        elif seen < answered:
            problems.append(f"{name[0]} at {name[1]}: {answered} answered in {ANSWERS.name}, only {seen} found")
    return problems


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make slither", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--show", action="store_true", help="print every finding as Slither describes it")
    parser.add_argument("--rows", action="store_true", help="print table rows for the findings that have no answer")
    parser.add_argument("contracts", nargs="*", help="only these (the answers are not compared then)")
    options = parser.parse_args(arguments)
    try:
        results = run_slither(make_project(options.contracts or contract_names()), [])
        answers = read_answers(ANSWERS.read_text()) if ANSWERS.exists() else {}
    except (SlitherFailed, CompilationFailed, ToolchainUnavailable) as error:
        print(error, file=sys.stderr)
        return 1
    found = Counter(name_finding(result) for result in results)
    impacts = Counter(result["impact"] for result in results)
    if options.show:
        for result in sorted(results, key=lambda each: (each["impact"], name_finding(each))):
            print(f"[{result['impact']}] {result['check']} at {name_finding(result)[1]}\n{result['description']}")
    if options.rows:
        for (detector, place), count in sorted(found.items()):
            if answers.get((detector, place)) != count and (detector, EVERYWHERE) not in answers:
                print(f"| `{detector}` | {place} | {count} | |")
    counts = ", ".join(f"{impacts[each]} {each.lower()}" for each in IMPACTS)
    print(f"slither: {len(results)} findings ({counts})", file=sys.stderr)
    problems = [] if options.contracts else compare(found, answers)
    for problem in problems:
        print(problem, file=sys.stderr)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
