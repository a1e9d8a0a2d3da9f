"""Published Ethereum fixtures through `dmchain evm`, on the default engine.

Under `make test` a fixed part; under `make conformance` (CONFORMANCE=full) all of it, on both engines.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

KIT = Path(__file__).resolve().parents[2].parent / "shared" / "kits" / "state"
IS_FULL = os.environ.get("CONFORMANCE") == "full"

pytestmark = pytest.mark.skipif(not KIT.is_dir(), reason=f"the fixtures are not there: {KIT}")


def run_fixtures(command: str, folder: str, *options: str) -> str:
    """Return the summary line; fails the test when a fixture fails, with the failures."""
    result = subprocess.run(
        [sys.executable, "-m", "dmchain", "evm", command, str(KIT / folder), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    failures = [line for line in result.stdout.splitlines() if '"pass": false' in line]
    assert result.returncode == 0, "\n".join([*failures[:20], result.stderr[-2000:]])
    return result.stderr.strip().splitlines()[-1]


def test_every_block_test_passes() -> None:
    assert run_fixtures("blocktest", "blockchain_tests") == "76 passed, 0 failed"


@pytest.mark.skipif(IS_FULL, reason="the whole sample runs instead")
def test_a_fixed_part_of_the_state_tests_passes() -> None:
    summary = run_fixtures("statetest", "state_tests", "--part", "2/6")
    assert int(summary.split()[0]) > 100
    assert summary.endswith("passed, 0 failed")


@pytest.mark.skipif(not IS_FULL, reason="`make conformance` runs the whole sample")
@pytest.mark.parametrize("engine", ["native", "reference"])
def test_the_whole_sample_of_state_tests_passes(engine: str) -> None:
    assert run_fixtures("statetest", "state_tests", "--engine", engine) == "1037 passed, 0 failed"


@pytest.mark.skipif(not IS_FULL, reason="`make conformance` runs both engines")
def test_every_block_test_passes_on_the_reference_engine() -> None:
    assert run_fixtures("blocktest", "blockchain_tests", "--engine", "reference") == "76 passed, 0 failed"
