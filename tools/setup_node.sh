#!/bin/sh
# Installs the Node.js projects that tests and benchmarks drive: viem, ethers, cast, solc, anvil. Does nothing when done.
# The same code as the tests call on first use, so that nothing is installed twice.
set -eu
cd "$(dirname "$0")/.."

.venv/bin/python - <<'PY'
import os, sys
sys.path.insert(0, "")
from pathlib import Path
from tools.npm import ToolchainUnavailable, install
for project in (Path("tools/contracts"), Path("tests/clients"), Path("bench")):
    try:
        install(project.resolve())
    except ToolchainUnavailable as error:
        print(f"setup: {error}; the tests with viem, ethers, cast and solc are skipped", file=sys.stderr)
        sys.exit(os.environ.get("CI") == "true")
PY
