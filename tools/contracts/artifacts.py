"""``make contracts``: every contract of the package from its source to its artifact, byte for byte the same anywhere.

An artifact, ``dmchain/marketplace_vm/artifacts/<Name>.json``, holds

    contractName, sourceName   the source unit is named as importers name it, never by a path of the machine
    abi                        as solc gives it
    bytecode                   creation code without constructor arguments
    deployedBytecode           runtime code, zeros where immutables go
    immutableReferences        one list of {"start", "length"} for each immutable, in order of first use
    methodIdentifiers          signature -> selector
    storageLayout              of upgradeable contracts (tools/contracts/layouts.py)
    devdoc, userdoc            NatSpec

The native precompiles' files, ``I<Name>.json``, are written by dmchain.marketplace_vm.precompiles.artifacts. What
changes with the artifacts is renewed with them: ``genesis.json``, which holds the contracts' code.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tools.contracts.compiler import (
    CONTRACTS,
    REPOSITORY,
    WELL_KNOWN,
    CompilationFailed,
    Compiled,
    Solc,
    collect_sources,
    compile_contract,
)
from tools.contracts.layouts import LayoutChanged, check_layout, normalize_layout
from tools.npm import ToolchainUnavailable

ARTIFACTS = REPOSITORY / "dmchain" / "marketplace_vm" / "artifacts"
LAYOUTS = Path(__file__).resolve().parent / "layouts"
"""The layouts that upgrades are held to: written once, and changed only by --accept-layouts."""
MAX_CODE_BYTES = 24_576
"""EIP-170."""
MAX_INIT_CODE_BYTES = 2 * MAX_CODE_BYTES
"""EIP-3860; constructor arguments count too, but few bytes."""
PROCESSES = 2
UPGRADEABLE = "@openzeppelin/contracts-upgradeable/"


def contract_names() -> list[str]:
    """All contracts of the package, and those of OpenZeppelin that are deployed with them.

    A file's contract is called like the file; what is abstract or a library is part of others.
    """
    own = [
        path.stem
        for path in CONTRACTS.glob("*.sol")
        if re.search(rf"^contract {path.stem}\b", path.read_text(), re.MULTILINE)
    ]
    return sorted(own + list(WELL_KNOWN))


def is_upgradeable(compiled: Compiled) -> bool:
    return any(name.startswith(UPGRADEABLE) for name in collect_sources(compiled.source_name))


def make_artifact(compiled: Compiled) -> dict[str, Any]:
    """The content of the artifact file. Raises CompilationFailed for what cannot be deployed."""
    evm = compiled.output["evm"]
    if evm["bytecode"]["linkReferences"]:
        raise CompilationFailed(f"{compiled.name}: needs a linked library, which predeploys do not support")
    if len(compiled.deployed_bytecode) > MAX_CODE_BYTES:
        raise CompilationFailed(
            f"{compiled.name}: {len(compiled.deployed_bytecode):,} bytes of code, expected at most {MAX_CODE_BYTES:,}"
        )
    if len(compiled.bytecode) > MAX_INIT_CODE_BYTES:
        raise CompilationFailed(
            f"{compiled.name}: {len(compiled.bytecode):,} bytes of init code, expected at most {MAX_INIT_CODE_BYTES:,}"
        )
    immutables = evm["deployedBytecode"].get("immutableReferences") or {}
    # the keys are numbers of solc's syntax tree
    places = [sorted(each, key=lambda place: place["start"]) for each in immutables.values()]
    artifact = {
        "contractName": compiled.name,
        "sourceName": compiled.source_name,
        "abi": compiled.abi,
        "bytecode": "0x" + evm["bytecode"]["object"],
        "deployedBytecode": "0x" + evm["deployedBytecode"]["object"],
        "immutableReferences": sorted(places, key=lambda place: place[0]["start"]),
        "methodIdentifiers": dict(sorted(evm["methodIdentifiers"].items())),
    }
    if is_upgradeable(compiled):
        artifact["storageLayout"] = normalize_layout(compiled.output["storageLayout"])
    return {**artifact, "devdoc": compiled.output["devdoc"], "userdoc": compiled.output["userdoc"]}


def render(artifact: dict[str, Any]) -> str:
    return json.dumps(artifact, indent=1) + "\n"


def build(names: list[str]) -> tuple[dict[str, str], list[str]]:
    """(texts of the artifacts by contract, what went wrong); raises ToolchainUnavailable."""
    texts: dict[str, str] = {}
    problems: list[str] = []

    idle: SimpleQueue[Solc] = SimpleQueue()

    def compile_one(name: str) -> dict[str, Any] | CompilationFailed:
        solc = idle.get()
        try:
            return make_artifact(compile_contract(name, solc=solc))
        except CompilationFailed as error:
            return error
        finally:
            idle.put(solc)

    with ExitStack() as stack, ThreadPoolExecutor(PROCESSES) as pool:
        for _ in range(PROCESSES):
            idle.put(stack.enter_context(Solc()))
        for name, outcome in zip(names, pool.map(compile_one, names), strict=True):
            if isinstance(outcome, CompilationFailed):
                problems.append(f"{name}: {outcome}")
            else:
                texts[name] = render(outcome)
    return texts, problems


def layout_problems(texts: dict[str, str], *, accept: bool = False) -> list[str]:
    """Hold each upgradeable contract to its committed layout; write the first one of a new contract."""
    problems = []
    for name, text in texts.items():
        layout = json.loads(text).get("storageLayout")
        if layout is None:
            continue
        path = LAYOUTS / f"{name}.json"
        if accept or not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(layout, indent=1) + "\n")
            continue
        try:
            check_layout(json.loads(path.read_text()), layout)
        except LayoutChanged as error:
            problems.append(f"{name}: {error}")
    return problems


def write_genesis() -> None:
    """Renew genesis.json, which holds the contracts' code."""
    command = [sys.executable, "-m", "dmchain", "genesis", "new", "--devnet-accounts"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    (REPOSITORY / "genesis.json").write_text(done.stdout)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make contracts", description="Compile the market's contracts.")
    parser.add_argument("names", nargs="*", help="only these contracts")
    parser.add_argument(
        "--accept-layouts", action="store_true", help="take today's storage layouts as what upgrades must keep"
    )
    options = parser.parse_args(arguments)
    started = time.monotonic()
    names = options.names or contract_names()
    try:
        texts, problems = build(names)
    except ToolchainUnavailable as error:
        print(f"contracts: {error}", file=sys.stderr)
        return 1
    changed = 0
    for name, text in texts.items():
        path = ARTIFACTS / f"{name}.json"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            changed += 1
    problems += layout_problems(texts, accept=options.accept_layouts)
    if not problems:
        write_genesis()
    for problem in problems:
        print(f"contracts: {problem}", file=sys.stderr)
    if any("storage layout" in problem for problem in problems):
        print("hint: ARGS=--accept-layouts if no chain holds the old one", file=sys.stderr)
    took = time.monotonic() - started
    print(
        f"contracts: {len(texts)} of {len(names)} built in {took:.1f} s, {changed} artifacts changed", file=sys.stderr
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
