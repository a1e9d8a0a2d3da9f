"""What a fresh clone must hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dmchain", *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )


def test_genesis_json_is_what_the_command_prints() -> None:
    printed = run("genesis", "new", "--devnet-accounts")
    assert printed.returncode == 0, printed.stderr
    assert (ROOT / "genesis.json").read_text() == printed.stdout


def test_genesis_json_passes_its_check() -> None:
    assert run("genesis", "check", "genesis.json").returncode == 0


def test_every_command_has_help_with_an_example_or_subcommands() -> None:
    listing = run("--help").stdout
    for name in ("devnet", "init", "node", "keys", "status", "tx", "query", "db", "genesis", "evm"):
        assert name in listing
        text = run(name, "--help")
        assert text.returncode == 0, text.stderr
        assert f"dmchain {name}" in text.stdout.split("Usage:", 1)[1].split("\n", 1)[1] or "Commands:" in text.stdout


def test_lock_files_name_no_registry() -> None:
    for lock in ROOT.glob("**/package-lock.json"):
        if "node_modules" not in lock.parts:
            assert '"resolved"' not in lock.read_text(), lock
