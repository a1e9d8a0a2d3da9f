"""EIP-712 digests, computed here independently of the contracts."""

from __future__ import annotations

from typing import Any

from eth_abi import encode

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import CHAIN_ID, Contract

DOMAIN = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
PERMIT = keccak(b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)")
DELEGATION = keccak(b"Delegation(address delegatee,uint256 nonce,uint256 expiry)")
BALLOT = keccak(b"Ballot(uint256 proposalId,uint8 support,address voter,uint256 nonce)")


def typed_digest(contract: Contract, name: str, struct_hash: bytes, version: str = "1") -> bytes:
    """What a wallet signs: `name` and `version` are of the contract's domain."""
    domain = keccak(
        encode(
            ["bytes32", "bytes32", "bytes32", "uint256", "address"],
            [DOMAIN, keccak(name.encode()), keccak(version.encode()), CHAIN_ID, str(contract.address)],
        )
    )
    return keccak(b"\x19\x01" + domain + struct_hash)


def permit_digest(token: Contract, owner: Any, spender: Any, value: int, deadline: int) -> bytes:
    """For ERC-2612's `permit` with the nonce of now."""
    types = ["bytes32", "address", "address", "uint256", "uint256", "uint256"]
    spender = str(getattr(spender, "address", spender))
    values = [PERMIT, str(owner), spender, value, token.nonces(owner), deadline]
    return typed_digest(token, token["name"](), keccak(encode(types, values)))
