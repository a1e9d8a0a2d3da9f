"""The commands of README.md, as they stand there, on a devnet."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from dmchain.testing import Devnet

ROOT = Path(__file__).resolve().parents[2]
SECTION = "## A data set, published and bought"


def readme_section() -> str:
    text = (ROOT / "README.md").read_text()
    assert SECTION in text
    return text.split(SECTION, 1)[1].split("\n## ", 1)[0]


def commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", readme_section(), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def run(command: str, devnet: Devnet) -> subprocess.CompletedProcess[str]:
    """In the root of the checkout, as a reader would, but for the port: `make devnet` takes 8545 for itself."""
    if not (ROOT / ".venv/bin/dmchain").exists():
        command = command.replace(".venv/bin/dmchain", f'"{sys.executable}" -m dmchain')
    environment = {**os.environ, "DMCHAIN_RPC": devnet.url}
    return subprocess.run(command, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_six_commands_lead_from_a_devnet_to_a_licence(devnet: Devnet) -> None:
    first, *others = commands()
    assert first == "make devnet"
    assert re.search(r"^devnet:.*\n(?:\t.*\n)*\t@exec \$\(BIN\)/dmchain devnet", (ROOT / "Makefile").read_text(), re.M)
    assert len(others) == 5
    done = [run(each, devnet) for each in others]
    for command, each in zip(others, done, strict=True):
        assert each.returncode == 0, f"{command}\n{each.stdout}{each.stderr}"
    assert re.search(r"offer 1: 25\.00 \S+ once", done[1].stdout)
    assert re.search(r"^status +valid$", done[3].stdout, re.M)


def test_the_python_of_the_readme_buys_too(devnet: Devnet) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", readme_section(), re.DOTALL)
    assert "http://127.0.0.1:8545" in code
    done = subprocess.run(
        [sys.executable, "-c", code.replace("http://127.0.0.1:8545", devnet.url)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
