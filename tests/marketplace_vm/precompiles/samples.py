"""Accounts and CIDs that the tests of the native precompiles share."""

import hashlib

from dmchain.marketplace_vm.precompiles.registry_interface import compute_commitment
from tests.marketplace_vm.precompiles.native_machines import Machine

ALICE = b"\xa1" * 20
BOB = b"\xb0" * 20
CAROL = b"\xca" * 20
MALLORY = b"\x66" * 20
NOBODY = bytes(20)
SALT = b"salt".ljust(32, b"\0")
UNKNOWN = b"\xee" * 32


def make_cid(text: str) -> bytes:
    """CIDv1, raw, sha2-256."""
    return b"\x01\x55\x12\x20" + hashlib.sha256(text.encode()).digest()


def make_cid_pair(text: str) -> tuple[bytes, bytes]:
    """One content spelled as CIDv0 and as CIDv1."""
    v0 = b"\x12\x20" + hashlib.sha256(text.encode()).digest()
    return v0, b"\x01\x70" + v0


def make_long_cid(text: str) -> bytes:
    """CIDv1, raw, sha2-512: 68 bytes."""
    return b"\x01\x55\x13\x40" + hashlib.sha512(text.encode()).digest()


def register(machine: Machine, owner: bytes, text: str, parents: tuple[bytes, ...] = ()) -> bytes:
    dataset_id: bytes = machine.must(owner, "registerCid", make_cid(text), b"", parents, 0)
    return dataset_id


def commit(machine: Machine, owner: bytes, cid: bytes, salt: bytes = SALT) -> bytes:
    commitment = compute_commitment(cid, owner, salt)
    machine.must(owner, "commitCid", commitment)
    return commitment


def as_hex(address: bytes) -> str:
    """An address as eth_abi decodes it."""
    return f"0x{address.hex()}"
