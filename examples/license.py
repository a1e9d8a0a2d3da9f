"""Register a data set by its CID, license it to somebody, check the licence: web3.py against a devnet.

dmchain devnet &
python examples/license.py [http://127.0.0.1:8545]
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from importlib.resources import files
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import HTTPProvider, Web3
from web3.contract import Contract

# Accounts 0 and 1 of every devnet. Their keys are public: never send real money to them.
PROVIDER_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
CONSUMER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"

ONE_TIME = 1
NEVER = 0
NOT_METERED = 0


def native_contract(w3: Web3, name: str) -> Contract:
    """A native contract from the ABI and the address that the package ships."""
    artifact = json.loads(files("dmchain.marketplace_vm").joinpath(f"artifacts/{name}.json").read_text())
    return w3.eth.contract(w3.to_checksum_address(artifact["address"]), abi=artifact["abi"])


def cid_of(content: bytes) -> bytes:
    """CIDv1, codec raw, sha2-256: what `ipfs add --cid-version 1` gives a small file."""
    return bytes.fromhex("01551220") + hashlib.sha256(content).digest()


def transact(w3: Web3, account: LocalAccount, call: Any) -> None:
    """Sign, send, and wait for the block."""
    unsigned = call.build_transaction(
        {"from": account.address, "nonce": w3.eth.get_transaction_count(account.address, "pending")}
    )
    sent = w3.eth.send_raw_transaction(account.sign_transaction(unsigned).raw_transaction)
    receipt = w3.eth.wait_for_transaction_receipt(sent, poll_latency=0.1)
    assert receipt["status"] == 1, f"{call.fn_name} failed in transaction {sent.to_0x_hex()}"


def main() -> None:
    w3 = Web3(HTTPProvider(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8545"))
    registry, ledger = native_contract(w3, "ICidRegistry"), native_contract(w3, "ILicenseLedger")
    provider = Account.from_key(PROVIDER_KEY)

    content = b"ten thousand labelled pictures of cats " + os.urandom(8)
    cid = cid_of(content)
    dataset_id = w3.keccak(cid)
    transact(w3, provider, registry.functions.registerCid(cid, b"", [], len(content)))
    print("registered", dataset_id.to_0x_hex(), "owner", registry.functions.ownerOf(dataset_id).call())

    print("licensed before:", ledger.functions.hasLicense(dataset_id, CONSUMER).call())
    terms = w3.keccak(text="CC-BY-4.0")
    transact(w3, provider, ledger.functions.grant(dataset_id, CONSUMER, ONE_TIME, NEVER, NOT_METERED, terms))
    print("licensed after:", ledger.functions.hasLicense(dataset_id, CONSUMER).call())


if __name__ == "__main__":
    main()
