"""Transactions against `eth-account`, an independent implementation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account
from eth_account.typed_transactions import TypedTransaction
from eth_utils import to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.primitives.codec import decode, encode, encode_list
from dmchain.chain.primitives.crypto import SECP256K1_N, PrivateKey
from dmchain.chain.primitives.errors import (
    CreateNotAllowed,
    DmchainError,
    EmptyAuthorizationList,
    SignatureError,
    TransactionTypeNotSupported,
)
from dmchain.chain.primitives.transaction import (
    Transaction,
    UnsignedTransaction,
    sign_authorization,
    sign_transaction,
)

KEY = PrivateKey(b"\x11" * 32)
addresses = st.binary(min_size=20, max_size=20)
uint64 = st.integers(0, 2**64 - 2)
uint256 = st.integers(0, 2**256 - 1)
access_lists = st.lists(st.tuples(addresses, st.lists(uint256, max_size=3).map(tuple)), max_size=3).map(tuple)


@st.composite
def unsigned_transactions(draw: Any) -> UnsignedTransaction:
    kind = draw(st.sampled_from([0, 1, 2, 4]))
    authorizations = ()
    if kind == 4:
        authorizations = (
            sign_authorization(KEY, chain_id=draw(st.integers(0, 10)), address=draw(addresses), nonce=draw(uint64)),
        )
    return UnsignedTransaction(
        type=kind,
        chain_id=draw(st.integers(1, 2**40)) if kind else draw(st.one_of(st.none(), st.integers(1, 2**40))),
        nonce=draw(uint64),
        gas=draw(st.integers(0, 2**40)),
        max_fee_per_gas=draw(st.integers(0, 2**128)),
        max_priority_fee_per_gas=draw(st.integers(0, 2**100)),
        to=draw(addresses) if kind == 4 else draw(st.one_of(st.just(b""), addresses)),
        value=draw(uint256),
        data=draw(st.binary(max_size=100)),
        access_list=draw(access_lists) if kind else (),
        authorization_list=authorizations,
    )


@given(unsigned_transactions())
@settings(max_examples=80, deadline=None)
def test_what_we_sign_others_recover(unsigned: UnsignedTransaction) -> None:
    signed = sign_transaction(unsigned, KEY)
    assert Account.recover_transaction(signed.raw).lower() == "0x" + KEY.address.hex()
    again = Transaction.decode(signed.raw)
    assert again.sender == KEY.address
    assert (again.nonce, again.gas, again.to, again.value, again.data) == (
        unsigned.nonce, unsigned.gas, unsigned.to, unsigned.value, unsigned.data,
    )  # fmt: skip
    assert again.access_list == unsigned.access_list
    assert again.authorization_list == unsigned.authorization_list
    assert again.chain_id == unsigned.chain_id


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_what_others_sign_we_recover(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([0, 1, 2]))
    fields: dict[str, Any] = {
        "nonce": data.draw(uint64),
        "gas": data.draw(st.integers(21000, 2**30)),
        "value": data.draw(st.integers(0, 2**200)),
        "data": data.draw(st.binary(max_size=50)),
        "to": to_checksum_address(data.draw(addresses)),
        "chainId": data.draw(st.integers(1, 2**30)),
    }
    if kind == 2:
        fields |= {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": data.draw(st.integers(0, 10**10))}
    else:
        fields["gasPrice"] = data.draw(st.integers(0, 10**12))
    if kind:
        fields |= {"type": kind, "accessList": []}
    signed = Account.sign_transaction(fields, KEY.secret)
    tx = Transaction.decode(bytes(signed.raw_transaction))
    assert tx.hash == bytes(signed.hash)
    assert tx.sender == KEY.address
    assert (tx.type, tx.nonce, tx.value, tx.data) == (kind, fields["nonce"], fields["value"], fields["data"])


def sample(kind: int) -> Transaction:
    authorizations = (sign_authorization(KEY, chain_id=1, address=b"\2" * 20, nonce=0),) if kind == 4 else ()
    return sign_transaction(
        UnsignedTransaction(
            type=kind,
            chain_id=1,
            nonce=5,
            gas=100_000,
            max_fee_per_gas=10**9,
            max_priority_fee_per_gas=1,
            to=b"\3" * 20,
            value=7,
            data=b"abc\0",
            access_list=((b"\4" * 20, (1, 2)),) if kind else (),
            authorization_list=authorizations,
        ),
        KEY,
    )


@given(st.sampled_from([0, 1, 2, 4]), st.data())
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_never_gives_the_same_transaction_or_a_crash(kind: int, data: st.DataObject) -> None:
    good = sample(kind)
    raw = bytearray(good.raw)
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    try:
        tx = Transaction.decode(bytes(raw))
        sender = tx.sender
    except DmchainError:
        return
    assert tx.hash != good.hash
    # whatever decodes has one encoding only, and eth-account reads the same from it
    assert Account.recover_transaction(bytes(raw)).lower() == "0x" + sender.hex()


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_decoded_or_refused(raw: bytes) -> None:
    try:
        Transaction.decode(raw)
    except DmchainError:
        pass


@given(st.sampled_from([0x01, 0x02, 0x03, 0x04]), st.recursive(st.binary(max_size=33), st.lists, max_leaves=25))
def test_arbitrary_lists_behind_a_type_byte_are_decoded_or_refused(kind: int, item: Any) -> None:
    try:
        tx = Transaction.decode(bytes((kind,)) + encode(item))
    except DmchainError:
        return
    assert TypedTransaction.from_bytes(tx.raw).transaction_type == kind


def test_a_list_where_a_string_belongs_is_refused() -> None:
    fields = decode(sample(2).raw[1:])
    assert isinstance(fields, list)
    fields[7] = [fields[7]]
    with pytest.raises(DmchainError, match="field 7"):
        Transaction.decode(b"\x02" + encode(fields))


def test_high_s_is_refused() -> None:
    """EIP-2: of the two signatures of a message, the one with low s."""
    fields = decode(sample(0).raw)
    assert isinstance(fields, list)
    s = SECP256K1_N - int.from_bytes(fields[8], "big")  # type: ignore[arg-type]
    fields[8] = s.to_bytes(32, "big")
    fields[6] = (int.from_bytes(fields[6], "big") ^ 1 ^ 0).to_bytes(1, "big")  # type: ignore[arg-type]
    with pytest.raises(SignatureError, match="s is out of range"):
        _ = Transaction.decode(encode(fields)).sender


def test_unknown_types_are_refused_by_name() -> None:
    with pytest.raises(TransactionTypeNotSupported, match="0x05"):
        Transaction.decode(b"\x05" + encode_list(b""))


def test_set_code_needs_a_recipient_and_an_authorization() -> None:
    fields = decode(sample(4).raw[1:])
    assert isinstance(fields, list)
    with pytest.raises(EmptyAuthorizationList):
        Transaction.decode(b"\x04" + encode([*fields[:9], [], *fields[10:]]))
    with pytest.raises(CreateNotAllowed):
        Transaction.decode(b"\x04" + encode([*fields[:5], b"", *fields[6:]]))


@pytest.mark.parametrize(
    ("to", "data", "intrinsic", "floor"),
    [
        (b"\1" * 20, b"", 21_000, 21_000),
        (b"\1" * 20, b"\0\1", 21_000 + 4 + 16, 21_000 + 10 * 5),
        (b"", b"\1" * 33, 21_000 + 32_000 + 33 * 16 + 2 * 2, 21_000 + 10 * 4 * 33),
    ],
    ids=["transfer", "data", "creation"],
)
def test_intrinsic_and_floor_gas(to: bytes, data: bytes, intrinsic: int, floor: int) -> None:
    unsigned = UnsignedTransaction(2, 1, 0, 10**6, 1, 0, to, 0, data)
    tx = sign_transaction(unsigned, KEY)
    assert (tx.intrinsic_gas, tx.floor_gas) == (intrinsic, floor)


def test_an_authorization_with_a_bad_signature_has_no_authority() -> None:
    good = sign_authorization(KEY, chain_id=1, address=b"\2" * 20, nonce=0)
    assert good.recover_authority() == KEY.address
    assert replace(good, s=SECP256K1_N - good.s, y_parity=1 - good.y_parity).recover_authority() is None
    assert replace(good, y_parity=2).recover_authority() is None
    assert replace(good, r=0).recover_authority() is None
