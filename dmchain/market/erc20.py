"""ERC-20 with permit (ERC-2612) as any token has it, and the typed data of a permit."""

from __future__ import annotations

from typing import Any, Final

from dmchain.market.abi import Interface


def _function(name: str, inputs: str, outputs: str, mutability: str = "view") -> dict[str, Any]:
    def parameters(text: str) -> list[dict[str, Any]]:
        return [dict(zip(("type", "name"), each.split(":"), strict=False)) for each in text.split()]

    return {
        "type": "function",
        "name": name,
        "inputs": parameters(inputs),
        "outputs": parameters(outputs),
        "stateMutability": mutability,
    }


ERC20: Final = Interface(
    "ERC20",
    [
        _function("name", "", "string"),
        _function("symbol", "", "string"),
        _function("decimals", "", "uint8"),
        _function("balanceOf", "address:account", "uint256"),
        _function("allowance", "address:owner address:spender", "uint256"),
        _function("approve", "address:spender uint256:value", "bool", "nonpayable"),
        _function("transfer", "address:to uint256:value", "bool", "nonpayable"),
        _function("nonces", "address:owner", "uint256"),
        _function("DOMAIN_SEPARATOR", "", "bytes32"),
        _function("eip712Domain", "", "bytes1 string string uint256 address bytes32 uint256[]"),
    ],
)


def permit_document(
    *,
    name: str,
    version: str,
    chain_id: int,
    token: str,
    owner: str,
    spender: str,
    value: int,
    nonce: int,
    deadline: int,
) -> dict[str, Any]:
    """EIP-712 data of an ERC-2612 permit for exactly `value`, valid until `deadline` (seconds)."""
    domain_fields = (
        ("name", "string"),
        ("version", "string"),
        ("chainId", "uint256"),
        ("verifyingContract", "address"),
    )
    permit_fields = (("owner", "address"), ("spender", "address"), ("value", "uint256"), ("nonce", "uint256"))
    return {
        "types": {
            "EIP712Domain": [{"name": each, "type": kind} for each, kind in domain_fields],
            "Permit": [{"name": each, "type": kind} for each, kind in (*permit_fields, ("deadline", "uint256"))],
        },
        "primaryType": "Permit",
        "domain": {"name": name, "version": version, "chainId": chain_id, "verifyingContract": token},
        "message": {"owner": owner, "spender": spender, "value": value, "nonce": nonce, "deadline": deadline},
    }
