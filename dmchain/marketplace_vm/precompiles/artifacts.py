"""ABI JSON of the native precompiles, as solc writes it for their Solidity interfaces.

`python -m dmchain.marketplace_vm.precompiles.artifacts` rewrites the committed files; a test keeps them equal.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from dmchain.marketplace_vm.precompiles import cid_registry, license_ledger, staking
from dmchain.marketplace_vm.precompiles.abi import Parameter
from dmchain.marketplace_vm.precompiles.dispatch import NativeContract

ARTIFACTS: Final = Path(__file__).parent.parent / "artifacts"


def _describe(parameter: Parameter) -> dict[str, Any]:
    kind = parameter.type
    described: dict[str, Any] = {"internalType": kind.internal, "name": parameter.name, "type": kind.name}
    if kind.fields:
        described["type"] = "tuple[]" if kind.name.endswith("[]") else "tuple"
        described["components"] = _describe_all(kind.fields)
    return described


def _describe_all(parameters: Sequence[Parameter]) -> list[dict[str, Any]]:
    return [_describe(parameter) for parameter in parameters]


def make_abi(contract: NativeContract) -> list[dict[str, Any]]:
    """Return the ABI, ordered by type and name."""
    abi: list[dict[str, Any]] = []
    for error in contract.errors:
        abi.append({"type": "error", "name": error.name, "inputs": _describe_all(error.parameters)})
    for event in contract.events:
        inputs = [{**_describe(each), "indexed": each.indexed} for each in event.parameters]
        abi.append({"type": "event", "name": event.name, "inputs": inputs, "anonymous": False})
    for handler in contract.handlers:
        spec = handler.spec
        abi.append(
            {
                "type": "function",
                "name": spec.name,
                "inputs": _describe_all(spec.inputs),
                "outputs": _describe_all(spec.outputs),
                "stateMutability": spec.mutability,
            }
        )
    return sorted(abi, key=lambda item: (item["type"], item["name"]))


def render(contract: NativeContract) -> str:
    """Return the text of the artifact file."""
    artifact = {
        "contractName": contract.name,
        "address": f"0x{contract.address.hex()}",
        "abi": make_abi(contract),
    }
    return json.dumps(artifact, indent=2) + "\n"


def main() -> None:
    for contract in (cid_registry.CONTRACT, license_ledger.CONTRACT, staking.CONTRACT):
        (ARTIFACTS / f"{contract.name}.json").write_text(render(contract))


if __name__ == "__main__":
    main()
