"""Solidity to artifacts, one contract at a time, through the standard JSON of solc from npm.

Each contract is compiled with just the files that it imports: a broken file elsewhere does no harm, the ids that solc
numbers its syntax tree with (they get into its output) do not depend on other contracts, and the result can be cached
by the hash of the whole request, compiler version included.

Source units are named ``dmchain/<Name>.sol`` and ``dmchain/interfaces/<Name>.sol`` for the package's contracts,
``@openzeppelin/...`` for libraries, and by the path in the repository for everything else: no name depends on the
machine.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tools.npm import find_node, install

PROJECT = Path(__file__).resolve().parent
REPOSITORY = PROJECT.parent.parent
CONTRACTS = REPOSITORY / "dmchain" / "marketplace_vm" / "contracts"
CACHE = REPOSITORY / ".setup" / "contracts"
CACHE_FORMAT = 2
"""Changes when what a cached file holds does."""
PACKAGE_PREFIX = "dmchain/"

SETTINGS: dict[str, Any] = {
    "optimizer": {"enabled": True, "runs": 200},
    "evmVersion": "osaka",
    # the hash of the metadata would change with every comment
    "metadata": {"bytecodeHash": "none"},
}
OUTPUTS = [
    "abi",
    "devdoc",
    "userdoc",
    "storageLayout",
    "evm.bytecode.object",
    "evm.bytecode.linkReferences",
    "evm.deployedBytecode.object",
    "evm.deployedBytecode.immutableReferences",
    "evm.methodIdentifiers",
]

INTERFACE_OUTPUTS = ["abi", "devdoc", "userdoc", "evm.methodIdentifiers"]

_IMPORT = re.compile(r'^\s*import\s+(?:[^"\']*\sfrom\s+)?["\']([^"\']+)["\']', re.MULTILINE)
_SERVE_SOLC = (
    "const solc=require('solc');require('readline').createInterface({input:process.stdin})"
    ".on('line',line=>process.stdout.write(JSON.stringify(JSON.parse(solc.compile(line)))+'\\n'))"
)
"""A line of standard JSON in, a line of it out."""


class CompilationFailed(Exception):
    """The source does not compile; the message is solc's."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What solc made of one contract; `output` is the part of its standard JSON that is about it."""

    name: str
    source_name: str
    output: dict[str, Any]

    @property
    def abi(self) -> list[dict[str, Any]]:
        abi: list[dict[str, Any]] = self.output["abi"]
        return abi

    @property
    def bytecode(self) -> bytes:
        """Creation code without constructor arguments; b"" for an interface."""
        return bytes.fromhex(self.output["evm"]["bytecode"]["object"])

    @property
    def deployed_bytecode(self) -> bytes:
        """Runtime code with zeros where immutables go."""
        return bytes.fromhex(self.output["evm"]["deployedBytecode"]["object"])


def source_path(unit: str) -> Path:
    """The file behind the name of a source unit."""
    if unit.startswith(PACKAGE_PREFIX + "marketplace_vm/"):
        raise CompilationFailed(f"{unit}: import the package's contracts as dmchain/<Name>.sol")
    if unit.startswith(PACKAGE_PREFIX):
        return CONTRACTS / unit.removeprefix(PACKAGE_PREFIX)
    if unit.startswith("@"):
        return install_modules() / unit
    return REPOSITORY / unit


def unit_name(path: Path) -> str:
    """The name of a source unit, whatever machine the file is on."""
    path = path.resolve()
    modules = PROJECT / "node_modules"
    if path.is_relative_to(CONTRACTS):
        return PACKAGE_PREFIX + path.relative_to(CONTRACTS).as_posix()
    if path.is_relative_to(modules):
        return path.relative_to(modules).as_posix()
    return path.relative_to(REPOSITORY).as_posix()


@lru_cache(maxsize=1)
def install_modules() -> Path:
    """``node_modules`` with solc and OpenZeppelin; raises ToolchainUnavailable."""
    return install(PROJECT)


@lru_cache(maxsize=1)
def compiler_version() -> str:
    version: str = json.loads((install_modules() / "solc" / "package.json").read_text())["version"]
    return version


def collect_sources(unit: str) -> dict[str, str]:
    """The texts of a source unit and of all it imports, by name, sorted."""
    found: dict[str, str] = {}
    waiting = [unit]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        path = source_path(name)
        try:
            found[name] = path.read_text()
        except OSError as error:
            raise CompilationFailed(f"{name}: {error.strerror} (imported by {unit})") from error
        for target in _IMPORT.findall(found[name]):
            if target.startswith("."):
                target = os.path.normpath(os.path.join(os.path.dirname(name), target))
            waiting.append(target)
    return dict(sorted(found.items()))


def make_request(unit: str, outputs: list[str] | None = None) -> dict[str, Any]:
    """The standard JSON input that compiles the contracts of one source unit, and describes its interface."""
    sources = collect_sources(unit)
    selection = {unit: {"*": outputs or OUTPUTS}}
    interface = interface_of(unit)
    if interface in sources:
        selection[interface] = {"*": INTERFACE_OUTPUTS}
    return {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in sources.items()},
        "settings": {**SETTINGS, "outputSelection": selection},
    }


def interface_of(unit: str) -> str:
    """Where the interface of a contract of the package is, if it has one."""
    return f"{PACKAGE_PREFIX}interfaces/I{unit.removeprefix(PACKAGE_PREFIX)}"


def compile_unit(unit: str, solc: Solc | None = None) -> dict[str, Compiled]:
    """All contracts of one source unit by name; in a process of its own unless `solc` is given.

    A contract that has an interface ``I<Name>`` gets what only that declares too: some delegate a part of it to a second
    contract. Raises CompilationFailed with solc's text, ToolchainUnavailable without Node.js or npm.
    """
    install_modules()
    request = json.dumps(make_request(unit), sort_keys=True)
    key = hashlib.sha256(f"{CACHE_FORMAT} {compiler_version()}\n{request}".encode()).hexdigest()
    cached = CACHE / f"{Path(unit).stem}-{key[:32]}.json"
    if not cached.exists():
        cached.parent.mkdir(parents=True, exist_ok=True)
        with cached.with_suffix(".lock").open("w") as lock:
            # one compiles, whoever comes meanwhile (pytest -n) waits for it
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not cached.exists():
                answer = run_solc(request) if solc is None else solc.compile(request)
                partial = cached.with_suffix(".partial")
                partial.write_text(json.dumps(answer["contracts"]))
                partial.replace(cached)
    contracts = json.loads(cached.read_text())
    found = {name: Compiled(name, unit, output) for name, output in contracts[unit].items()}
    stem = Path(unit).stem
    declared = contracts.get(interface_of(unit), {}).get(f"I{stem}")
    if declared is not None:
        found[stem] = _with_interface(found[stem], declared)
    return found


def compile_contract(name: str, folders: tuple[Path, ...] = (), solc: Solc | None = None) -> Compiled:
    """The contract `name` from the package's sources, or from one of `folders`, or from OpenZeppelin's.

    A name with a slash is a source unit, for instance ``@openzeppelin/contracts/mocks/ERC1271WalletMock.sol``.
    """
    if "/" in name:
        return compile_unit(name, solc)[Path(name).stem]
    for folder in (CONTRACTS, CONTRACTS / "interfaces", *folders):
        if (folder / f"{name}.sol").exists():
            return compile_unit(unit_name(folder / f"{name}.sol"), solc)[name]
    if name in WELL_KNOWN:
        return compile_unit(WELL_KNOWN[name], solc)[name]
    places = ", ".join(str(each.relative_to(REPOSITORY)) for each in (CONTRACTS, *folders))
    raise CompilationFailed(f"no {name}.sol in {places}")


def _with_interface(compiled: Compiled, declared: dict[str, Any]) -> Compiled:
    """The contract with the functions, events, errors and documentation that its interface alone declares."""
    own = compiled.output
    known = {_identity(item) for item in own["abi"]}
    added = [item for item in declared["abi"] if _identity(item) not in known]
    identifiers = {**declared["evm"]["methodIdentifiers"], **own["evm"]["methodIdentifiers"]}
    merged = {**own, "abi": own["abi"] + added, "evm": {**own["evm"], "methodIdentifiers": identifiers}}
    for kind in ("devdoc", "userdoc"):
        merged[kind] = dict(own[kind])
        for section in ("methods", "events", "errors"):
            if section in own[kind] or section in declared[kind]:
                merged[kind][section] = {**declared[kind].get(section, {}), **own[kind].get(section, {})}
    return Compiled(compiled.name, compiled.source_name, merged)


def _identity(item: dict[str, Any]) -> str:
    """What makes two entries of an ABI the same: kind, name and types."""
    return json.dumps([item["type"], item.get("name"), [_shape(each) for each in item.get("inputs", ())]])


def _shape(parameter: dict[str, Any]) -> Any:
    return [parameter["type"], [_shape(each) for each in parameter.get("components", ())]]


WELL_KNOWN = {
    "TransparentUpgradeableProxy": "@openzeppelin/contracts/proxy/transparent/TransparentUpgradeableProxy.sol",
    "ProxyAdmin": "@openzeppelin/contracts/proxy/transparent/ProxyAdmin.sol",
}
"""Contracts of OpenZeppelin that are deployed as they are."""


class Solc:
    """A compiler process: loading it takes as long as a small contract, and its code gets faster as it runs.

    A context manager; used by one thread at a time.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Solc:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def compile(self, request: str) -> dict[str, Any]:
        """Compile standard JSON (one line); raises CompilationFailed when there are errors."""
        if self._process is None:
            self._process = subprocess.Popen(
                [find_node(), "-e", _SERVE_SOLC],
                cwd=PROJECT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(request + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise CompilationFailed(f"solc stopped with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        errors = [each["formattedMessage"] for each in answer.get("errors", ()) if each["severity"] == "error"]
        if errors:
            raise CompilationFailed("\n".join(errors))
        return answer


def run_solc(request: str) -> dict[str, Any]:
    """One run of the compiler; raises CompilationFailed when there are errors."""
    with Solc() as solc:
        return solc.compile(request)


def warnings_of(answer: dict[str, Any]) -> list[str]:
    return [each["formattedMessage"] for each in answer.get("errors", ()) if each["severity"] == "warning"]
