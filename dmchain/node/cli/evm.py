"""`dmchain evm`: published Ethereum fixtures through this node's own executor, as geth's `evm` tool does."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from dmchain.chain.executor import Executor
from dmchain.chain.rules import Rules
from dmchain.marketplace_vm.fixtures import FixtureResult, read_fixtures, run_block_test, run_state_test
from dmchain.marketplace_vm.vm import prepare_thread_stacks, run_on_big_stack
from dmchain.node.node import ENGINES, make_executor

Runner = Callable[[str, Any, Callable[[Rules], Executor]], Iterator[FixtureResult]]


@click.group()
def evm() -> None:
    """Run published Ethereum fixtures (execution-spec-tests) through this node's executor.

    Prints one JSON line a test to stdout and a summary to stderr; exit status 0 when all pass.
    """


def _options(command: Callable[..., int]) -> Callable[..., int]:
    command = click.option("--engine", type=click.Choice(ENGINES), default="native", show_default=True)(command)
    command = click.option("--only", metavar="TEXT", help="Run tests whose path or name contains TEXT.")(command)
    command = click.option("--part", metavar="I/N", help="Run every N-th test, starting with the I-th (from 1).")(command)
    return click.argument(
        "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH..."
    )(command)


@evm.command()
@_options
def statetest(paths: tuple[Path, ...], engine: str, only: str | None, part: str | None) -> int:
    """Run state tests.

    \b
    Example:
      dmchain evm statetest fixtures/state_tests --only eip1153
    """
    return _run(run_state_test, paths, engine, only, part)


@evm.command()
@_options
def blocktest(paths: tuple[Path, ...], engine: str, only: str | None, part: str | None) -> int:
    """Run blockchain tests.

    \b
    Example:
      dmchain evm blocktest fixtures/blockchain_tests
    """
    return _run(run_block_test, paths, engine, only, part)


def _parse_part(part: str | None) -> tuple[int, int]:
    if part is None:
        return 1, 1
    first, _, step = part.partition("/")
    if not (first.isdecimal() and step.isdecimal() and 1 <= int(first) <= int(step)):
        raise click.BadParameter(f"got {part!r}, expected I/N with 1 <= I <= N", param_hint="--part")
    return int(first), int(step)


def _run(run: Runner, paths: tuple[Path, ...], engine: str, only: str | None, part: str | None) -> int:
    prepare_thread_stacks()
    return run_on_big_stack(lambda: _run_all(run, paths, engine, only, *_parse_part(part)))


def _run_all(run: Runner, paths: tuple[Path, ...], engine: str, only: str | None, first: int, step: int) -> int:
    passed = failed = number = 0
    for path in paths:
        for file, name, test in read_fixtures(path):
            if only is not None and only not in str(file) and only not in name:
                continue
            number += 1
            if number % step != first % step:
                continue
            for result in _run_one(run, name, test, lambda rules: make_executor(engine, rules)):
                passed += result.passed
                failed += not result.passed
                line = {"name": result.name, "pass": result.passed, "fork": result.fork, "file": str(file)}
                if result.error is not None:
                    line["error"] = result.error
                click.echo(json.dumps(line))
    click.echo(f"{passed} passed, {failed} failed", err=True)
    if passed + failed == 0:
        click.echo("error: no test was run", err=True)
        click.echo("hint: look at --only and --part, and whether the files hold tests of Prague or Osaka", err=True)
    sys.stdout.flush()
    return 0 if passed and not failed else 1


def _run_one(
    run: Runner, name: str, test: Any, make: Callable[[Rules], Executor]
) -> Iterator[FixtureResult]:
    try:
        yield from run(name, test, make)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        # a bug of ours or a file that is no fixture: either way this test has not passed
        yield FixtureResult(name, "?", False, f"{type(error).__name__}: {error}")
