"""Tools from npm that the client tests, the examples and the benchmarks share.

Solidity is compiled by ``solc`` from npm through its standard
JSON interface, and the output is cached by the hash of the whole input, compiler version included.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.npm import ToolchainUnavailable, find_node, install

__all__ = ["ToolchainUnavailable", "find_node", "install"]

CLIENTS = Path(__file__).resolve().parent
REPOSITORY = CLIENTS.parent.parent
INTERFACES = REPOSITORY / "dmchain" / "marketplace_vm" / "contracts" / "interfaces"
COMPILE_TIMEOUT_S = 180

_IMPORT = re.compile(r'^\s*import\s+(?:[^"\']*\sfrom\s+)?["\']([^"\']+)["\']', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Contract:
    """One compiled contract: its ABI and its creation bytecode."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: str

    def as_json(self) -> dict[str, Any]:
        """The shape that the Node.js scripts read."""
        return {"abi": self.abi, "bytecode": self.bytecode}


def foundry_binary(project: Path, tool: str) -> Path:
    """The native program inside foundry's npm package (its ``bin.mjs`` would cost 40 ms a call)."""
    modules = install(project)
    system = {"linux": "linux", "darwin": "darwin"}.get(platform.system().lower(), "win32")
    machine = "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "amd64"
    binary = modules / "@foundry-rs" / f"{tool}-{system}-{machine}" / "bin" / tool
    if not binary.exists():
        raise ToolchainUnavailable(f"no {tool} for {system}-{machine} in {project}/node_modules/@foundry-rs")
    return binary


def compile_solidity(source: Path, evm_version: str = "osaka") -> dict[str, Contract]:
    """Compile one file and everything it imports, with the optimiser on.

    Imports are found beside the file, in ``node_modules`` (``@openzeppelin/...``) and, for
    ``dmchain/interfaces/...``, in the interfaces that the package ships. Raises AssertionError with solc's
    own text when the source does not compile.
    """
    modules = install(CLIENTS)
    version = json.loads((modules / "solc" / "package.json").read_text())["version"]
    request = json.dumps(
        {
            "language": "Solidity",
            "sources": {name: {"content": text} for name, text in _collect_sources(source, modules).items()},
            "settings": {
                "optimizer": {"enabled": True, "runs": 200},
                "evmVersion": evm_version,
                # the hash of the metadata would change with every comment
                "metadata": {"bytecodeHash": "none"},
                "outputSelection": {source.name: {"*": ["abi", "evm.bytecode.object"]}},
            },
        },
        sort_keys=True,
    )
    key = hashlib.sha256(f"{version}\n{request}".encode()).hexdigest()
    cached = CLIENTS / ".cache" / f"{source.stem}-{key[:32]}.json"
    if not cached.exists():
        cached.parent.mkdir(exist_ok=True)
        partial = cached.with_suffix(f".{os.getpid()}")
        partial.write_text(_run_solc(request))
        partial.replace(cached)
    output = json.loads(cached.read_text())["contracts"][source.name]
    return {
        name: Contract(name, built["abi"], "0x" + built["evm"]["bytecode"]["object"]) for name, built in output.items()
    }


def _collect_sources(source: Path, modules: Path) -> dict[str, str]:
    """Source units by the names solc will ask for, found by following imports."""
    found: dict[str, str] = {}
    waiting = [(source.name, source)]
    while waiting:
        name, path = waiting.pop()
        if name in found:
            continue
        found[name] = path.read_text()
        for target in _IMPORT.findall(found[name]):
            if target.startswith("."):
                unit = os.path.normpath(os.path.join(os.path.dirname(name), target))
                waiting.append((unit, Path(os.path.normpath(path.parent / target))))
            elif target.startswith("dmchain/interfaces/"):
                waiting.append((target, INTERFACES / target.removeprefix("dmchain/interfaces/")))
            else:
                waiting.append((target, modules / target))
    return found


def _run_solc(request: str) -> str:
    """One run of the npm compiler; its JavaScript takes and gives the standard JSON."""
    script = (
        "const solc=require('solc');let t='';process.stdin.on('data',d=>t+=d)"
        ".on('end',()=>process.stdout.write(solc.compile(t)))"
    )
    done = subprocess.run(
        [find_node(), "-e", script],
        cwd=CLIENTS,
        input=request,
        capture_output=True,
        text=True,
        timeout=COMPILE_TIMEOUT_S,
        check=True,
    )
    errors = [e["formattedMessage"] for e in json.loads(done.stdout).get("errors", []) if e["severity"] == "error"]
    assert not errors, "\n".join(errors)
    return done.stdout
