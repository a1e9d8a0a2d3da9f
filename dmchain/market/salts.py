"""Secrets between a commitment and its opening, that need not be kept."""

from __future__ import annotations

from dmchain.chain.primitives.crypto import keccak
from dmchain.market.context import Context
from dmchain.market.inputs import bytes32
from dmchain.market.steps import Steps


def secret_salt(context: Context, contract: str, subject: int, round_: int, given: str | bytes | None) -> Steps[bytes]:
    """The salt given, else the hash of the signer's signature over what it commits to: `subject` of a contract.

    Signatures are deterministic (RFC 6979) in eth-account, in nodes and in common hardware wallets, so nothing has to be
    kept between commitment and revelation. Nobody else can make them; do not sign such a document for anybody.
    """
    if given is not None:
        return bytes32(given, "salt")
    chain_id = yield from context.chain_id()
    address = yield from context.address_of(contract)
    domain = (("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address"))
    document = {
        "types": {
            "EIP712Domain": [{"name": name, "type": kind} for name, kind in domain],
            "SecretSalt": [{"name": "subject", "type": "uint256"}, {"name": "round", "type": "uint256"}],
        },
        "primaryType": "SecretSalt",
        "domain": {
            "name": "dmchain secret: never sign this for anybody",
            "version": "1",
            "chainId": chain_id,
            "verifyingContract": address,
        },
        "message": {"subject": subject, "round": round_},
    }
    signature = yield from context.require_signer().sign_typed(document)
    return keccak(signature)
