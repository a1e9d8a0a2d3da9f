"""solc from npm, when it is at hand: DMCHAIN_SOLC_MODULES, or the node_modules of this repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
CANDIDATES = [
    Path(os.environ.get("DMCHAIN_SOLC_MODULES", "/nonexistent")),
    REPOSITORY / "node_modules",
    REPOSITORY / "tests/clients/node_modules",
]
SCRIPT = """
const solc = require(process.argv[1]);
process.stdout.write(solc.compile(require("fs").readFileSync(0, "utf8")));
"""


def compile_standard(sources: dict[str, str], outputs: list[str]) -> dict[str, Any]:
    """Compile with the standard JSON interface; return file -> contract -> output. Skips the test without solc."""
    node = shutil.which("node")
    modules = next((each for each in CANDIDATES if (each / "solc").is_dir()), None)
    if node is None or modules is None:
        pytest.skip("solc from npm is not installed (npm install solc@0.8)")
    request = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in sources.items()},
        "settings": {"evmVersion": "prague", "outputSelection": {"*": {"*": outputs}}},
    }
    answer = json.loads(_run(node, modules / "solc", json.dumps(request)))
    problems = [each["formattedMessage"] for each in answer.get("errors", ())]
    assert not problems, "\n".join(problems)
    contracts: dict[str, Any] = answer["contracts"]
    return contracts


@cache
def _run(node: str, solc: Path, request: str) -> str:
    done = subprocess.run(
        [node, "-e", SCRIPT, str(solc)], input=request, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout
