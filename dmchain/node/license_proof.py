"""A licence proved by storage proofs (EIP-1186) against a header's state root: no node is believed.

Three slots tell everything (docs/precompiles.md, Storage): the licence's word and the hash of its terms in the
LicenseLedger, and the data set's word in the CidRegistry. Absence is proved as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dmchain.chain.primitives.codec import decode, split_fields, to_blob, to_int
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import DecodeError, DmchainError
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.trie import EMPTY_ROOT, ProofError, verify_proof
from dmchain.marketplace_vm.precompiles import CID_REGISTRY, LICENSE_LEDGER
from dmchain.marketplace_vm.precompiles.layout import dataset_slot, license_slot, next_slot
from dmchain.marketplace_vm.precompiles.readers import License, read_license
from dmchain.node.light_source import data_field, list_field, object_field

MAX_PROOF_NODES = 65
MAX_NODE_BYTES = 1024
"""A full branch takes 532 bytes."""


class InvalidProof(DmchainError):
    """A proof does not belong to the state root."""

    hint = "the node that was asked is broken, or it lies"


@dataclass(frozen=True, slots=True)
class SlotProof:
    """`nodes` from the storage root down."""

    slot: int
    nodes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class StorageProofs:
    """An account's nodes from the state root down, and proofs of some of its slots. What else a node says is not kept."""

    address: Address
    account_nodes: tuple[bytes, ...]
    slots: tuple[SlotProof, ...]


def needed_slots(dataset_id: bytes, account: bytes) -> dict[Address, list[int]]:
    """What to ask eth_getProof for, by contract."""
    word = license_slot(dataset_id, account)
    return {LICENSE_LEDGER: [word, next_slot(word)], CID_REGISTRY: [dataset_slot(dataset_id)]}


def parse_proof(document: Any, address: Address, slots: Sequence[int]) -> StorageProofs:
    """Read an answer of eth_getProof to a question for `slots`, in that order. Raises DecodeError."""
    top = object_field(document, "proof")
    proofs = list_field(top, "storageProof", len(slots), len(slots))
    return StorageProofs(
        address,
        _nodes(top, "accountProof"),
        tuple([SlotProof(slot, _nodes(entry, "proof")) for slot, entry in zip(slots, proofs, strict=True)]),
    )


def _nodes(source: Any, name: str) -> tuple[bytes, ...]:
    entry = object_field(source, "proof")
    return tuple([data_field(node, name, MAX_NODE_BYTES) for node in list_field(entry, name, 0, MAX_PROOF_NODES)])


def verify_storage(state_root: Hash32, proofs: StorageProofs) -> dict[int, int]:
    """The proved value of each slot, 0 for those proved empty. Raises InvalidProof."""
    shown = f"0x{proofs.address.hex()}"
    try:
        account = verify_proof(state_root, keccak(proofs.address), proofs.account_nodes)
        root = EMPTY_ROOT if account is None else _storage_root(account)
        values = {}
        for proof in proofs.slots:
            raw = verify_proof(root, keccak(proof.slot.to_bytes(32, "big")), proof.nodes)
            values[proof.slot] = 0 if raw is None else to_int(to_blob(decode(raw), "value"), "value")
    except (ProofError, DecodeError) as error:
        raise InvalidProof(f"proof of {shown}: {error}") from error
    return values


def _storage_root(account: bytes) -> bytes:
    fields, lists = split_fields(account)
    if len(fields) != 4 or lists or len(fields[2]) != 32:
        raise DecodeError("account: not [nonce, balance, storage root, code hash]")
    return fields[2]


def verify_license(
    state_root: Hash32, proofs: Sequence[StorageProofs], dataset_id: bytes, account: bytes, timestamp: int
) -> License | None:
    """The licence as it stands at `timestamp` (seconds) in the state of `state_root`; None when there is none.

    Raises InvalidProof, also when a slot is missing.
    """
    proved: dict[Address, Mapping[int, int]] = {}
    for proof in proofs:
        proved[proof.address] = verify_storage(state_root, proof)

    def get_storage(address: bytes, slot: int) -> int:
        values = proved.get(Address(address), {})
        if slot not in values:
            raise InvalidProof(f"proof of 0x{address.hex()}: slot 0x{slot:064x} is not proved")
        return values[slot]

    return read_license(get_storage, dataset_id, account, timestamp)
