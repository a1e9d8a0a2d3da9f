"""Transactions of types 0, 1, 2, 3 and 4: decoding, signing, hashes and the gas they need before they run.

Sources: EIP-155 (chain id), 2718 (envelope), 2930 (access lists), 1559 (fees), 3860 (initcode words), 4844 (blobs, which
only imported Ethereum chains carry), 7623 (floor), 7702 (authorizations).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dmchain.chain.primitives.codec import (
    RlpItem,
    decode,
    encode,
    encode_bytes,
    encode_int,
    encode_list,
    split_fields,
    to_bytes,
    to_int,
    to_list,
)
from dmchain.chain.primitives.crypto import PrivateKey, keccak, recover_address
from dmchain.chain.primitives.errors import (
    BlobError,
    CreateNotAllowed,
    DecodeError,
    EmptyAuthorizationList,
    InvalidTransaction,
    SignatureError,
    TransactionTypeNotSupported,
)
from dmchain.chain.primitives.types import UINT64_MAX, Address, Hash32

LEGACY, ACCESS_LIST, DYNAMIC_FEE, BLOB, SET_CODE = range(5)

GAS_TRANSACTION = 21_000
GAS_CREATE = 32_000
GAS_DATA_ZERO = 4
GAS_DATA_NONZERO = 16
GAS_INITCODE_WORD = 2
GAS_ACCESS_LIST_ADDRESS = 2_400
GAS_ACCESS_LIST_SLOT = 1_900
GAS_AUTHORIZATION = 25_000
"""PER_EMPTY_ACCOUNT_COST of EIP-7702, charged for every authorization and partly given back."""
GAS_FLOOR_PER_TOKEN = 10
"""EIP-7623; a zero byte is one token, any other byte four."""
SET_CODE_MAGIC = b"\x05"

AccessList = tuple[tuple[Address, tuple[int, ...]], ...]


def compute_gas_due(to: bytes, data: bytes, access_list: AccessList, authorizations: int) -> tuple[int, int]:
    """(intrinsic gas, floor): what a message needs before it runs, and the least it is charged (EIP-7623)."""
    zeros = data.count(0)
    nonzeros = len(data) - zeros
    gas = GAS_TRANSACTION + GAS_DATA_ZERO * zeros + GAS_DATA_NONZERO * nonzeros
    if not to:
        gas += GAS_CREATE + GAS_INITCODE_WORD * ((len(data) + 31) // 32)
    for _, slots in access_list:
        gas += GAS_ACCESS_LIST_ADDRESS + GAS_ACCESS_LIST_SLOT * len(slots)
    gas += GAS_AUTHORIZATION * authorizations
    return gas, GAS_TRANSACTION + GAS_FLOOR_PER_TOKEN * (zeros + 4 * nonzeros)


@dataclass(frozen=True, slots=True)
class Authorization:
    """One entry of a type 4 transaction: `address` whose code the signer's account will run.

    `chain_id` 0 is valid on every chain. Signature fields are taken as they come: an entry that does not verify is
    skipped when the transaction runs (EIP-7702), it does not make the transaction invalid.
    """

    chain_id: int
    address: Address
    nonce: int
    y_parity: int
    r: int
    s: int

    def recover_authority(self) -> Address | None:
        """Return the account that signed, or None when the signature is no good."""
        digest = keccak(SET_CODE_MAGIC + encode([self.chain_id, self.address, self.nonce]))
        try:
            return recover_address(digest, self.y_parity, self.r, self.s)
        except SignatureError:
            return None


class Transaction:
    """One signed transaction. Treated as immutable; `sender` is recovered once and kept."""

    __slots__ = (
        "_sender",
        "access_list",
        "authorization_list",
        "blob_versioned_hashes",
        "chain_id",
        "data",
        "floor_gas",
        "gas",
        "hash",
        "intrinsic_gas",
        "max_fee_per_blob_gas",
        "max_fee_per_gas",
        "max_priority_fee_per_gas",
        "nonce",
        "r",
        "raw",
        "s",
        "signing_hash",
        "to",
        "type",
        "v",
        "value",
        "y_parity",
    )  # fmt: skip

    raw: bytes
    hash: Hash32
    type: int
    chain_id: int | None
    nonce: int
    gas: int
    to: bytes
    value: int
    data: bytes
    access_list: AccessList
    max_fee_per_gas: int
    max_priority_fee_per_gas: int
    authorization_list: tuple[Authorization, ...]
    blob_versioned_hashes: tuple[bytes, ...]
    max_fee_per_blob_gas: int
    v: int
    y_parity: int
    r: int
    s: int
    signing_hash: Hash32
    intrinsic_gas: int
    floor_gas: int
    _sender: Address | None

    @classmethod
    def decode(cls, raw: bytes) -> Transaction:
        """Decode the bytes that go into a block: legacy RLP, or type byte followed by RLP.

        Raises DecodeError for what is not canonical and InvalidTransaction for what can never be valid, whatever the
        state and the chain are.
        """
        if not raw:
            raise DecodeError("transaction: got no bytes")
        tx = cls.__new__(cls)
        tx.raw = raw
        tx.authorization_list = ()
        tx.blob_versioned_hashes = ()
        tx.max_fee_per_blob_gas = 0
        tx.access_list = ()
        first = raw[0]
        if first >= 0xC0:
            tx._decode_legacy(raw)
        elif first in _DECODERS:
            tx.type = first
            _DECODERS[first](tx, raw)
        elif first >= 0x80:
            raise DecodeError(f"transaction: first byte {first:#04x} is neither a type nor a list")
        else:
            raise TransactionTypeNotSupported(
                f"transaction type not supported: got {first:#04x}, expected a list (legacy) or 1, 2, 3, 4"
            )
        tx.hash = keccak(raw)
        tx._sender = None
        tx._check()
        return tx

    def _decode_legacy(self, raw: bytes) -> None:
        items = _fields(raw, 9)
        self.type = LEGACY
        self.nonce = to_int(items[0], "nonce")
        self.max_fee_per_gas = self.max_priority_fee_per_gas = to_int(items[1], "gasPrice")
        self._read_call(items[2], items[3], items[4], items[5])
        self.v = to_int(items[6], "v")
        self.r, self.s = to_int(items[7], "r"), to_int(items[8], "s")
        body = b"".join([encode_bytes(item) for item in items[:6]])
        if self.v in (27, 28):
            self.chain_id, self.y_parity = None, self.v - 27
        elif self.v >= 35:
            self.chain_id, self.y_parity = divmod(self.v - 35, 2)
            body += encode_int(self.chain_id) + b"\x80\x80"
        else:
            raise SignatureError(f"v: expected 27, 28 or chain id * 2 + 35, got {self.v}")
        self.signing_hash = keccak(encode_list(body))

    def _decode_access_list(self, raw: bytes) -> None:
        items = _fields(raw[1:], 11)
        self.chain_id = to_int(items[0], "chainId")
        self.nonce = to_int(items[1], "nonce")
        self.max_fee_per_gas = self.max_priority_fee_per_gas = to_int(items[2], "gasPrice")
        self._read_call(items[3], items[4], items[5], items[6])
        self._read_access_list(items[7])
        self._read_signature(items)

    def _decode_dynamic_fee(self, raw: bytes) -> None:
        items = _fields(raw[1:], 12)
        self._read_dynamic(items)
        self._read_signature(items)

    def _decode_blob(self, raw: bytes) -> None:
        items = _fields(raw[1:], 14)
        self._read_dynamic(items)
        self.max_fee_per_blob_gas = to_int(items[9], "maxFeePerBlobGas")
        hashes = to_list(decode(_nested(items[10], "blobVersionedHashes")), "blobVersionedHashes")
        self.blob_versioned_hashes = tuple([to_bytes(item, "blobVersionedHashes", 32) for item in hashes])
        self._read_signature(items)
        if not self.to:
            raise CreateNotAllowed("blob transaction of type create")
        if not self.blob_versioned_hashes:
            raise BlobError("blob transaction without blobs")

    def _decode_set_code(self, raw: bytes) -> None:
        items = _fields(raw[1:], 13)
        self._read_dynamic(items)
        entries = to_list(decode(_nested(items[9], "authorizationList")), "authorizationList")
        self.authorization_list = tuple([_read_authorization(entry) for entry in entries])
        self._read_signature(items)
        if not self.to:
            raise CreateNotAllowed("set code transaction of type create")
        if not self.authorization_list:
            raise EmptyAuthorizationList("set code transaction with empty authorization list")

    def _read_dynamic(self, items: list[bytes]) -> None:
        self.chain_id = to_int(items[0], "chainId")
        self.nonce = to_int(items[1], "nonce")
        self.max_priority_fee_per_gas = to_int(items[2], "maxPriorityFeePerGas")
        self.max_fee_per_gas = to_int(items[3], "maxFeePerGas")
        self._read_call(items[4], items[5], items[6], items[7])
        self._read_access_list(items[8])

    def _read_call(self, gas: bytes, to: bytes, value: bytes, data: bytes) -> None:
        self.gas = to_int(gas, "gas", 64)
        if len(to) not in (0, 20):
            raise DecodeError(f"to: expected 20 bytes or none, got {len(to)}")
        self.to = to
        self.value = to_int(value, "value")
        self.data = data

    def _read_access_list(self, item: bytes) -> None:
        if item == b"\xc0":
            return
        entries = []
        for entry in to_list(decode(_nested(item, "accessList")), "accessList"):
            address, slots = to_list(entry, "accessList entry", 2)
            keys = [int.from_bytes(to_bytes(slot, "accessList slot", 32), "big") for slot in to_list(slots, "slots")]
            entries.append((Address(to_bytes(address, "accessList address", 20)), tuple(keys)))
        self.access_list = tuple(entries)

    def _read_signature(self, items: list[bytes]) -> None:
        """Read the last three items and hash what comes before them, which is what was signed."""
        y_parity, r, s = items[-3:]
        self.v = self.y_parity = to_int(y_parity, "yParity", 8)
        self.r, self.s = to_int(r, "r"), to_int(s, "s")
        body = self.raw[1:]
        header = 1 if body[0] < 0xF8 else body[0] - 0xF6
        tail = len(encode_bytes(y_parity)) + len(encode_bytes(r)) + len(encode_bytes(s))
        self.signing_hash = keccak(bytes((self.type,)) + encode_list(body[header:-tail]))

    def _check(self) -> None:
        """Rules that need no state, and the gas that the transaction needs before it runs."""
        if self.nonce > UINT64_MAX:
            raise InvalidTransaction(f"nonce: expected at most 64 bits, got {self.nonce:#x}")
        if self.y_parity > 1:
            raise SignatureError(f"yParity: expected 0 or 1, got {self.y_parity}")
        self.intrinsic_gas, self.floor_gas = compute_gas_due(
            self.to, self.data, self.access_list, len(self.authorization_list)
        )

    @property
    def sender(self) -> Address:
        """The account that signed; raises SignatureError when there is none."""
        if self._sender is None:
            self._sender = recover_address(self.signing_hash, self.y_parity, self.r, self.s)
        return self._sender

    def assume_sender(self, sender: Address) -> None:
        """Take this sender without looking at the signature: for its own signer, and a devnet's impersonation."""
        self._sender = sender

    @property
    def gas_price(self) -> int:
        """Wei per gas of types 0 and 1; the fee cap of later types."""
        return self.max_fee_per_gas

    @property
    def is_create(self) -> bool:
        return not self.to

    def effective_gas_price(self, base_fee: int) -> int:
        """What one unit of gas costs in a block with this base fee (EIP-1559), in wei."""
        return min(self.max_fee_per_gas, base_fee + self.max_priority_fee_per_gas)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Transaction) and other.raw == self.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return f"Transaction(0x{self.hash.hex()})"


_DECODERS = {
    ACCESS_LIST: Transaction._decode_access_list,
    DYNAMIC_FEE: Transaction._decode_dynamic_fee,
    BLOB: Transaction._decode_blob,
    SET_CODE: Transaction._decode_set_code,
}

_LIST_FIELDS: dict[int, list[int]] = {9: [], 11: [7], 12: [8], 13: [8, 9], 14: [8, 10]}
"""Which fields are lists, by the number of fields: everything else must be a string."""


def _fields(raw: bytes, size: int) -> list[bytes]:
    """The fields, checked for their number and for which of them are lists."""
    items, is_list = split_fields(raw)
    if len(items) != size:
        raise DecodeError(f"transaction: expected {size} fields, got {len(items)}")
    if is_list != _LIST_FIELDS[size]:
        index = next(at for at in range(size) if (at in is_list) != (at in _LIST_FIELDS[size]))
        got = "a list" if index in is_list else "a string"
        raise DecodeError(f"transaction: field {index} is {got}, expected the other")
    return items


def _nested(item: bytes, field: str) -> bytes:
    if item[:1] < b"\xc0":
        raise DecodeError(f"{field}: expected a list")
    return item


def _read_authorization(entry: RlpItem) -> Authorization:
    chain_id, address, nonce, y_parity, r, s = to_list(entry, "authorization", 6)
    return Authorization(
        to_int(chain_id, "authorization chainId"),
        Address(to_bytes(address, "authorization address", 20)),
        to_int(nonce, "authorization nonce", 64),
        to_int(y_parity, "authorization yParity", 8),
        to_int(r, "authorization r"),
        to_int(s, "authorization s"),
    )


@dataclass(frozen=True, slots=True)
class UnsignedTransaction:
    """What a wallet fills in. For types 0 and 1 the gas price is `max_fee_per_gas`."""

    type: int
    chain_id: int | None
    nonce: int
    gas: int
    max_fee_per_gas: int
    max_priority_fee_per_gas: int = 0
    to: bytes = b""
    value: int = 0
    data: bytes = b""
    access_list: AccessList = ()
    authorization_list: tuple[Authorization, ...] = ()

    def signing_fields(self) -> list[object]:
        """The fields before the signature, in the order of the type's EIP."""
        slots = [[address, [slot.to_bytes(32, "big") for slot in keys]] for address, keys in self.access_list]
        call = [self.gas, self.to, self.value, self.data]
        if self.type == LEGACY:
            return [self.nonce, self.max_fee_per_gas, *call]
        if self.type == ACCESS_LIST:
            return [self.chain_id, self.nonce, self.max_fee_per_gas, *call, slots]
        fields = [self.chain_id, self.nonce, self.max_priority_fee_per_gas, self.max_fee_per_gas, *call, slots]
        if self.type == SET_CODE:
            fields.append([[a.chain_id, a.address, a.nonce, a.y_parity, a.r, a.s] for a in self.authorization_list])
        elif self.type != DYNAMIC_FEE:
            raise TransactionTypeNotSupported(f"cannot sign a transaction of type {self.type}: expected 0, 1, 2 or 4")
        return fields


def sign_transaction(unsigned: UnsignedTransaction, key: PrivateKey) -> Transaction:
    """Sign, and return the decoded result with its sender known."""
    fields = unsigned.signing_fields()
    if unsigned.type == LEGACY:
        tail: Sequence[object] = () if unsigned.chain_id is None else (unsigned.chain_id, b"", b"")
        y_parity, r, s = key.sign(keccak(encode([*fields, *tail])))
        v = y_parity + (27 if unsigned.chain_id is None else 35 + 2 * unsigned.chain_id)
        tx = Transaction.decode(encode([*fields, v, r, s]))
    else:
        if unsigned.chain_id is None:
            raise InvalidTransaction(f"chainId: a transaction of type {unsigned.type} needs one")
        prefix = bytes((unsigned.type,))
        y_parity, r, s = key.sign(keccak(prefix + encode(fields)))
        tx = Transaction.decode(prefix + encode([*fields, y_parity, r, s]))
    tx.assume_sender(key.address)
    return tx


def sign_authorization(key: PrivateKey, *, chain_id: int, address: Address, nonce: int) -> Authorization:
    """Sign a delegation of the key's account to the code at `address` (EIP-7702)."""
    y_parity, r, s = key.sign(keccak(SET_CODE_MAGIC + encode([chain_id, address, nonce])))
    return Authorization(chain_id, address, nonce, y_parity, r, s)
