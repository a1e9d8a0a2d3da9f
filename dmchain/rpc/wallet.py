"""Methods that sign with keys the node holds: for a development network only, never registered elsewhere."""

from __future__ import annotations

import json
from typing import Any

import orjson

from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.transaction import sign_transaction
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.rpc.backend import Wallet
from dmchain.rpc.calls import TRANSACTION, fill_transaction, submit_deferred, with_nonce
from dmchain.rpc.errors import InvalidParams, RpcError
from dmchain.rpc.format import Json, format_data, format_transaction
from dmchain.rpc.jsonrpc import describe
from dmchain.rpc.params import Argument, TransactionArgs, parse_address, parse_any, parse_data, parse_string
from dmchain.rpc.registry import Context, Deferred, MethodTable

methods = MethodTable()

ADDRESS = Argument("address", parse_address)


class UnknownAccount(RpcError):
    """geth's wording."""

    def __init__(self, address: bytes) -> None:
        super().__init__(
            f"unknown account {format_data(address)}",
            hint="the node signs for eth_accounts only; sign yourself and use eth_sendRawTransaction",
        )


def parse_message(value: Any) -> bytes:
    """The message of personal_sign: hex, or plain text as MetaMask takes it."""
    if type(value) is str and value[:2] not in ("0x", "0X"):
        return value.encode()
    return parse_data(value)


@methods.add("eth_sendTransaction", arguments=(TRANSACTION,), heavy=True)
def send_transaction(context: Context, args: TransactionArgs) -> Deferred:
    """Fill in, sign and pool; an impersonated account's transaction goes unsigned."""
    sender = _sender(args)
    key = _wallet(context).key_of(sender)
    devnet = context.backend.devnet
    if key is None and (devnet is None or not devnet.is_impersonated(sender)):
        raise UnknownAccount(sender)
    filled = fill_transaction(context, args)
    chain = context.backend.chain

    def submit() -> Any:
        # The nonce is chosen on the event loop's thread, where nobody else can take it before the pool has it.
        unsigned = with_nonce(filled, chain.pending_nonce(sender) if args.nonce is None else args.nonce)
        if key is None:
            assert devnet is not None
            return devnet.submit_unsigned(unsigned, sender)
        return chain.submit(sign_transaction(unsigned, key).raw)

    return submit_deferred(context, submit)


@methods.add("eth_signTransaction", arguments=(TRANSACTION,), heavy=True)
def get_signed_transaction(context: Context, args: TransactionArgs) -> Deferred:
    """{raw, tx}, not sent."""
    sender = _sender(args)
    key = _key(context, sender)
    filled = fill_transaction(context, args)

    def sign() -> Json:
        nonce = context.backend.chain.pending_nonce(sender) if args.nonce is None else args.nonce
        tx = sign_transaction(with_nonce(filled, nonce), key)
        return {"raw": format_data(tx.raw), "tx": format_transaction(tx)}

    return Deferred(sign, sign, 0.0)


@methods.add("eth_sign", arguments=(ADDRESS, Argument("message", parse_data)))
def sign_message(context: Context, address: Address, message: bytes) -> str:
    return sign_digest(_key(context, address), hash_message(message))


@methods.add(
    "personal_sign",
    arguments=(Argument("message", parse_message), ADDRESS, Argument("password", parse_string, "")),
)
def sign_personal_message(context: Context, message: bytes, address: Address, password: str) -> str:
    return sign_digest(_key(context, address), hash_message(message))


@methods.add(
    "eth_signTypedData", "eth_signTypedData_v3", "eth_signTypedData_v4",
    arguments=(ADDRESS, Argument("typedData", parse_any)),
    heavy=True,
)  # fmt: skip
def sign_typed_data(context: Context, address: Address, typed_data: Any) -> str:
    """EIP-712; the data as JSON text (integers of any size) or as an object."""
    return sign_digest(_key(context, address), hash_typed_data(typed_data))


def hash_message(message: bytes) -> Hash32:
    """EIP-191, version "E"."""
    return keccak(b"\x19Ethereum Signed Message:\n%d%b" % (len(message), message))


def hash_typed_data(typed_data: Any) -> Hash32:
    """The EIP-712 digest; raises InvalidParams for what is not typed data."""
    from eth_account.messages import encode_typed_data  # heavy to import, and only devnets need it

    if type(typed_data) is str:
        try:
            # orjson bounds the depth (json can overflow the C stack); json keeps integers over 64 bits exact.
            orjson.loads(typed_data)
            typed_data = json.loads(typed_data)
        except (ValueError, RecursionError) as error:
            raise InvalidParams(f"invalid argument 1 (typedData): not JSON: {error}") from None
    if type(typed_data) is not dict:
        raise InvalidParams(f"invalid argument 1 (typedData): expected typed data, got {describe(typed_data)}")
    try:
        signable = encode_typed_data(full_message=typed_data)
    except Exception as error:  # the library raises a dozen kinds for bad input
        raise InvalidParams(f"invalid argument 1 (typedData): {error!s:.200}") from None
    return keccak(b"\x19" + signable.version + signable.header + signable.body)


def sign_digest(key: PrivateKey, digest: Hash32) -> str:
    """65 bytes r, s, v with v 27 or 28."""
    y_parity, r, s = key.sign(digest)
    return format_data(r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((27 + y_parity,)))


def _sender(args: TransactionArgs) -> Address:
    if args.sender is None:
        raise InvalidParams("invalid argument 0 (transaction): from: expected an address, got null")
    return args.sender


def _key(context: Context, address: Address) -> PrivateKey:
    key = _wallet(context).key_of(address)
    if key is None:
        raise UnknownAccount(address)
    return key


def _wallet(context: Context) -> Wallet:
    wallet = context.backend.wallet
    assert wallet is not None, "wallet methods are registered only where there is a wallet"
    return wallet
