"""The committed artifacts are what solc makes of the committed sources, byte for byte, on any machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dmchain.marketplace_vm.artifacts import artifact_names, load_artifact
from tools.contracts import artifacts, compiler
from tools.contracts.artifacts import ARTIFACTS, LAYOUTS, build, contract_names, layout_problems, render

NAMES = contract_names()


@pytest.fixture(scope="module")
def built() -> dict[str, str]:
    texts, problems = build(NAMES)
    assert not problems, "\n".join(problems)
    return texts


def committed(name: str) -> Any:
    return json.loads((ARTIFACTS / f"{name}.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_a_rebuild_gives_the_committed_bytes(name: str, built: dict[str, str]) -> None:
    path = ARTIFACTS / f"{name}.json"
    assert path.exists() and path.read_text() == built[name], f"{name} is not up to date: make contracts"


def test_there_is_no_artifact_without_a_source() -> None:
    native = {"ICidRegistry", "ILicenseLedger", "IStaking", "predeploys"}
    assert {path.stem for path in ARTIFACTS.glob("*.json")} - native == set(NAMES)


def test_upgradeable_contracts_keep_their_committed_layouts(built: dict[str, str]) -> None:
    upgradeable = {name for name, text in built.items() if "storageLayout" in json.loads(text)}
    assert {path.stem for path in LAYOUTS.glob("*.json")} == upgradeable
    assert layout_problems(built) == []


def test_the_two_halves_of_the_license_manager_share_one_storage() -> None:
    manager, books = (committed(name)["storageLayout"]["storage"] for name in ("LicenseManager", "LicenseBooks"))
    assert manager == books and manager


@pytest.mark.parametrize("name", NAMES)
def test_artifacts_name_no_place_on_a_machine(name: str) -> None:
    text = (ARTIFACTS / f"{name}.json").read_text()
    assert str(compiler.REPOSITORY) not in text and str(Path.home()) + "/" not in text
    artifact = committed(name)
    assert artifact["sourceName"].startswith(("dmchain/", "@openzeppelin/"))
    assert len(artifact["deployedBytecode"]) <= 2 + 2 * artifacts.MAX_CODE_BYTES


def test_another_directory_and_a_cold_cache_give_the_same_bytes(tmp_path: Path, built: dict[str, str]) -> None:
    """One contract rebuilt in a copy of the repository's sources, elsewhere and under another name."""
    root = tmp_path / "some where else"
    for folder in ("tools", "dmchain/marketplace_vm/contracts"):
        shutil.copytree(
            compiler.REPOSITORY / folder, root / folder, ignore=shutil.ignore_patterns("node_modules", "__pycache__")
        )
    (root / "tools/contracts/node_modules").symlink_to(compiler.install_modules())
    code = "from tools.contracts.artifacts import *; print(render(make_artifact(compile_contract('TestUSD'))), end='')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "."}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == built["TestUSD"]


@pytest.mark.parametrize(
    ("name", "half"), [("LicenseManager", "LicenseBooks"), ("DisputeResolution", "DisputeSettlement")]
)
def test_contracts_in_two_halves_have_one_interface(name: str, half: str) -> None:
    whole, delegated = committed(name), committed(half)
    assert delegated["methodIdentifiers"].items() <= whole["methodIdentifiers"].items()
    names = {item["name"] for item in whole["abi"] if item["type"] == "function"}
    assert {each.split("(")[0] for each in whole["methodIdentifiers"]} == names


def test_the_loader_gives_what_the_files_hold() -> None:
    assert load_artifact("TestUSD") == committed("TestUSD")
    assert load_artifact("ICidRegistry")["address"].endswith("da01")
    assert set(NAMES) < set(artifact_names())
    with pytest.raises(KeyError, match="Nothing"):
        load_artifact("Nothing")
    with pytest.raises(KeyError):
        load_artifact("../genesis")


def test_the_loader_imports_nothing_heavy() -> None:
    code = (
        "import sys; from dmchain.marketplace_vm.artifacts import load_artifact; load_artifact('TestUSD');"
        "print([name for name in ('eth.vm', 'web3', 'trio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_rendering_is_stable(built: dict[str, str]) -> None:
    for name, text in built.items():
        assert render(json.loads(text)) == text, name
