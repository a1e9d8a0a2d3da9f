"""Runs a page of docs/market as its reader would: every ```console block, in order, on one devnet, in this process.

A line `$ dmchain …` is run; what follows until the next `$` must be what it prints, where `…` stands for anything: within
a line for any text, on a line of its own for any lines. Nothing there: anything may be printed, but it must succeed. A
command that is meant to fail has a line `error: …` there. Other commands are `echo … > file`, and `NAME=$(dmchain …)`, whose
`$NAME` later commands use.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from dmchain.chain.primitives.errors import DmchainError
from dmchain.node.cli.app import app

DOCS = Path(__file__).resolve().parents[2] / "docs" / "market"


@dataclass(frozen=True)
class Step:
    """A command of a page and what the page says it prints."""

    command: str
    printed: str


def read_steps(page: str) -> list[Step]:
    blocks = re.findall(r"^```console\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)
    steps = []
    for block in blocks:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            steps.append(Step(command, printed.rstrip("\n")))
    return steps


def matches(pattern: str, text: str) -> bool:
    """Whether text is what a page says, blanks at the ends of lines aside."""
    lines = []
    for line in pattern.splitlines():
        if line.strip() == "…":
            lines.append(r"(?:.*\n)*")
        else:
            lines.append(".*".join(re.escape(part) for part in line.rstrip().split("…")) + r" *\n")
    return re.fullmatch("".join(lines), text.rstrip("\n") + "\n") is not None


def run_page(page: str, url: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what the page says, in an empty directory; every command must print what it shows."""
    monkeypatch.chdir(directory)
    monkeypatch.setenv("DMCHAIN_RPC", url)
    steps = read_steps(page)
    assert steps, f"{page} has no ```console block"
    variables: dict[str, str] = {}
    for step in steps:
        for name, value in variables.items():
            step = Step(step.command.replace(f"${name}", value), step.printed)
        if assigned := re.fullmatch(r"([A-Z_]+)=\$\((.*)\)", step.command):
            variables[assigned[1]] = _run(assigned[2]).strip()
        elif written := re.fullmatch(r'echo "(.*)" > (\S+)', step.command):
            (directory / written[2]).write_text(written[1] + "\n")
        elif "error: " in step.printed:
            problem = _run(step.command, fails=True)
            assert matches(step.printed, problem), f"$ {step.command}\n{problem}\ninstead of\n{step.printed}"
        else:
            printed = _run(step.command)
            is_shown = not step.printed or matches(step.printed, printed)
            assert is_shown, f"$ {step.command}\n{printed}\ninstead of\n{step.printed}"


def _run(command: str, *, fails: bool = False) -> str:
    """What a command prints to stdout; the error it reports if it `fails`."""
    program, *arguments = shlex.split(command)
    assert program == "dmchain", f"$ {command}: this is not run here"
    result = CliRunner().invoke(app, arguments, standalone_mode=False)
    problem = result.exception
    if problem is None:
        assert not fails, f"$ {command}: succeeded\n{result.output}"
        return result.stdout
    assert fails and isinstance(problem, DmchainError), f"$ {command}: {problem!r}\n{result.output}"
    return f"error: {problem}" + (f"\nhint: {problem.hint}" if problem.hint else "")
