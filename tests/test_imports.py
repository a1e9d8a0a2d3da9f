"""Who may import whom, and what cores must not know. Each finding says why."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "dmchain"

DIRECTIONS: dict[str, tuple[str, ...]] = {
    "dmchain.chain.primitives": ("dmchain.chain.primitives",),
    "dmchain.chain": ("dmchain.chain",),
    "dmchain.marketplace_vm": ("dmchain.marketplace_vm", "dmchain.chain"),
    "dmchain.rpc": ("dmchain.rpc", "dmchain.chain.primitives"),
    "dmchain.node": ("dmchain",),
    "dmchain.market": ("dmchain.market", "dmchain.marketplace_vm.precompiles", "dmchain.chain.primitives"),
}
"""Package -> what of dmchain its modules may import. The longest prefix counts."""

ONLY_IN: dict[str, tuple[tuple[str, ...], str]] = {
    "eth": (("dmchain.marketplace_vm",), "py-evm belongs to the EVM package"),
    "plyvel": (("dmchain.chain.store.leveldb",), "everything else speaks to a KeyValue"),
    "msgpack": (("dmchain.node.network.wire", "dmchain.chain.store.wal"), "one codec at each boundary"),
    "trio": (
        ("dmchain.node", "dmchain.rpc.http", "dmchain.rpc.websocket", "dmchain.rpc.workers", "dmchain.rpc.connection"),
        "shells do I/O, cores do not",
    ),
    "h11": (("dmchain.rpc",), "HTTP belongs to the server"),
    "wsproto": (("dmchain.rpc",), "WebSocket belongs to the server"),
}
"""Library -> (where it may be imported, why)."""

CORE = ("dmchain.chain", "dmchain.marketplace_vm")
IMPURE = {
    "trio": "a core does no I/O",
    "socket": "a core does no I/O",
    "time": "time is an argument",
    "random": "randomness is an argument",
    "secrets": "randomness is an argument",
    "datetime": "time is an argument",
    "asyncio": "a core does no I/O",
    "subprocess": "a core does no I/O",
}
RPC_CORE = ("jsonrpc", "registry", "params", "format", "filters", "subscriptions", "estimate", "fees", "logs", "eth", "calls")


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        yield ".".join(parts).removesuffix(".__init__"), path


def imported(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import: say where from"
            yield node.lineno, node.module or ""


def is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def findings(module: str, path: Path) -> Iterator[str]:
    package = max((name for name in DIRECTIONS if is_in(module, (name,))), key=len, default="")
    for line, name in imported(path):
        where = f"{path}:{line}"
        if name.startswith("dmchain.") and package and not is_in(name, DIRECTIONS[package]):
            yield f"{where}: {module} imports {name}: {package} may import {', '.join(DIRECTIONS[package])} only"
        top = name.partition(".")[0]
        if top in ONLY_IN and not is_in(module, ONLY_IN[top][0]):
            yield f"{where}: {module} imports {name}: {ONLY_IN[top][1]}"
        is_core = is_in(module, CORE) or (is_in(module, ("dmchain.rpc",)) and module.rpartition(".")[2] in RPC_CORE)
        if is_core and top in IMPURE:
            yield f"{where}: {module} imports {name}: {IMPURE[top]}"


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_go_in_the_allowed_directions(module: str, path: Path) -> None:
    found = list(findings(module, path))
    assert not found, "\n".join(found)


def test_the_rules_can_fail(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("import time\nimport plyvel\nfrom dmchain.node import node\n")
    assert len(list(findings("dmchain.chain.bad", bad))) == 3
