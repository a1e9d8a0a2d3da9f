"""``python -m tools.contracts Name ...``: compile these contracts, show solc's warnings and the sizes."""

from __future__ import annotations

import json
import sys

from tools.contracts.compiler import CompilationFailed, compile_contract, make_request, run_solc, warnings_of
from tools.npm import ToolchainUnavailable

MAX_CODE_BYTES = 24_576
"""EIP-170."""
TEST_SOURCES = "tests/contracts/sol"


def main(names: list[str]) -> int:
    from tools.contracts.compiler import REPOSITORY

    failed = 0
    for name in names:
        try:
            compiled = compile_contract(name, (REPOSITORY / TEST_SOURCES,))
            answer = run_solc(json.dumps(make_request(compiled.source_name, ["abi"]), sort_keys=True))
        except (CompilationFailed, ToolchainUnavailable) as error:
            print(error, file=sys.stderr)
            failed = 1
            continue
        for warning in warnings_of(answer):
            print(warning, file=sys.stderr)
        size = len(compiled.deployed_bytecode)
        print(
            f"{name}: {size:,} bytes of code, {MAX_CODE_BYTES - size:,} left; {len(compiled.bytecode):,} to create it"
        )
        failed |= size > MAX_CODE_BYTES
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
