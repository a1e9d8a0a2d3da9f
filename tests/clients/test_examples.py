"""The examples run as their README says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.clients.nodes import Node
from tests.clients.toolchain import CLIENTS, REPOSITORY, find_node

EXAMPLES = REPOSITORY / "examples"


def run(command: list[str], cwd: Path) -> list[str]:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.splitlines()


def test_web3py_example(own_node: Node) -> None:
    told = run([sys.executable, str(EXAMPLES / "license.py"), own_node.rpc], REPOSITORY)
    assert told[0].startswith("registered 0x")
    assert told[1:] == ["licensed before: False", "licensed after: True"]


def test_viem_and_solidity_example(own_node: Node, npm: Path) -> None:
    """From a copy beside the installed packages, so that the examples need no installation of their own here."""
    copy = CLIENTS / ".cache" / "examples"
    shutil.copytree(EXAMPLES, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    told = run([find_node(), "gate.mjs", own_node.rpc], copy)
    assert told[0].startswith("registered 0x")
    assert told[2:] == ["without a licence: NoLicense", "with a licence: entered, 1n visit"]


def test_examples_pin_the_versions_that_are_tested(npm: Path) -> None:
    tested = json.loads((CLIENTS / "package.json").read_text())["dependencies"]
    for name, version in json.loads((EXAMPLES / "package.json").read_text())["dependencies"].items():
        assert tested[name] == version
