"""Published Ethereum state tests with every opcode of every contract translated before its first run.

A sixth of them under `make test`, all under `make conformance` (CONFORMANCE=full).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dmchain.marketplace_vm.executor import NativeExecutor
from dmchain.marketplace_vm.fixtures import read_fixtures, run_block_test, run_state_test
from dmchain.marketplace_vm.translate import EAGER_POLICY, Translator

KIT = Path(__file__).resolve().parents[4] / "shared" / "kits" / "state"
STRIDE = 1 if os.environ.get("CONFORMANCE") == "full" else 6

pytestmark = [
    pytest.mark.skipif(not KIT.is_dir(), reason=f"the fixtures are not there: {KIT}"),
    pytest.mark.filterwarnings("ignore:SELFDESTRUCT:DeprecationWarning"),
]


class EagerExecutor(NativeExecutor):
    """The native engine, translating whatever is about to run."""

    runner = staticmethod(Translator(EAGER_POLICY).run)

    def begin(self, *args: Any, **options: Any) -> Any:
        run: Any = super().begin(*args, **options)
        base = run.computation_class
        run.use_computation_class(type("Eager", (base,), {"code_runner": staticmethod(self.runner)}))
        return run


@pytest.mark.parametrize(("folder", "runner"), [("state_tests", run_state_test), ("blockchain_tests", run_block_test)])
def test_fixtures_pass_on_translated_code(folder: str, runner: Any) -> None:
    tests = list(read_fixtures(KIT / folder))[::STRIDE]
    results = [result for _, name, test in tests for result in runner(name, test, EagerExecutor)]
    assert len(results) >= len(tests) > 5
    assert [(result.name, result.error) for result in results if not result.passed] == []
