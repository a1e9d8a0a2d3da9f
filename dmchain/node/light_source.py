"""Light blocks from a node's JSON-RPC: every field is checked for type, size and range, and nothing is believed.

What comes out still has to be verified (`dmchain.chain.light`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.messages import MAX_ROUND
from dmchain.chain.consensus.record import Record
from dmchain.chain.consensus.validators import MAX_TOTAL_POWER, MAX_VALIDATORS, Validator, ValidatorSet
from dmchain.chain.light import LightBlock, LightError
from dmchain.chain.primitives.block import Header
from dmchain.chain.primitives.errors import DecodeError
from dmchain.chain.primitives.public_key import SIGNATURE_BYTES
from dmchain.chain.primitives.types import UINT64_MAX, Address, Hash32

Ask = Callable[..., Any]
"""Method and parameters to the JSON result; raises DmchainError."""

LATEST = "latest"
MAX_HEADER_BYTES = 2048
_HEX = frozenset("0123456789abcdefABCDEF")


class LightSource:
    """One node."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._sets: dict[bytes, ValidatorSet] = {}
        """By hash: within an epoch one is enough."""

    def block(self, height: int | None) -> LightBlock:
        """All about `height`, None the newest one. Raises DecodeError and LightError."""
        tag = LATEST if height is None else hex(height)
        document = self._ask("dm_getCommit", tag)
        if document is None:
            raise LightError(
                f"the node has no commit of block {tag}",
                hint="is it a node of a network of validators, and does it keep blocks that old?",
            )
        header, commit = parse_commit(document)
        record = parse_record(self._answer("dm_getRecord", header.number, "record"))
        validators = self._validators(header.number, record.validators_hash)
        following = self._validators(header.number + 1, record.next_validators_hash)
        return LightBlock(header, record, commit, validators, following)

    def _validators(self, height: int, wanted: Hash32) -> ValidatorSet:
        found = self._sets.get(wanted)
        if found is None:
            found = parse_validators(self._answer("dm_getValidators", height, "validators"))
            if found.hash != wanted:
                raise LightError(
                    f"validators of block {height}: expected hash 0x{wanted.hex()}, got 0x{found.hash.hex()}"
                )
            self._sets[wanted] = found
        return found

    def _answer(self, method: str, height: int, what: str) -> Any:
        document = self._ask(method, hex(height))
        if document is None:
            raise LightError(
                f"the node has no {what} of block {height}", hint="trust a newer height, or ask another node"
            )
        return document


def parse_commit(document: Any) -> tuple[Header, Commit]:
    """Header and commit out of an answer of dm_getCommit. Raises DecodeError."""
    top = object_field(document, "commit")
    header = Header.decode(data_field(top.get("header"), "header", MAX_HEADER_BYTES))
    signatures: list[bytes | None] = []
    for item in list_field(top, "signatures", 1, MAX_VALIDATORS):
        signature = None if item is None else data_field(item, "signature", SIGNATURE_BYTES)
        if signature is not None and len(signature) != SIGNATURE_BYTES:
            raise DecodeError(f"signature: expected {SIGNATURE_BYTES} bytes, got {len(signature)}")
        signatures.append(signature)
    return header, Commit(
        height=number_field(top, "blockNumber", UINT64_MAX),
        round=number_field(top, "round", MAX_ROUND),
        block_hash=Hash32(fixed_field(top, "blockHash", 32)),
        signatures=tuple(signatures),
    )


def parse_record(document: Any) -> Record:
    """Out of an answer of dm_getRecord. Raises DecodeError."""
    top = object_field(document, "record")

    def hash_of(name: str) -> Hash32:
        return Hash32(fixed_field(top, name, 32))

    return Record(
        version=number_field(top, "version", 2**32 - 1),
        chain_id=number_field(top, "chainId", UINT64_MAX),
        height=number_field(top, "blockNumber", UINT64_MAX),
        timestamp_ms=number_field(top, "timestampMs", UINT64_MAX),
        epoch=number_field(top, "epoch", UINT64_MAX),
        proposer=Address(fixed_field(top, "proposer", 20)),
        validators_hash=hash_of("validatorsHash"),
        next_validators_hash=hash_of("nextValidatorsHash"),
        last_commit_hash=hash_of("lastCommitHash"),
        evidence_hash=hash_of("evidenceHash"),
        params_hash=hash_of("paramsHash"),
        randao_reveal=hash_of("randaoReveal"),
        minimum_software=number_field(top, "minimumSoftware", 2**32 - 1),
    )


def parse_validators(document: Any) -> ValidatorSet:
    """Out of an answer of dm_getValidators. Raises DecodeError and InvalidValidatorSet."""
    top = object_field(document, "validators")
    members = []
    for item in list_field(top, "validators", 1, MAX_VALIDATORS):
        entry = object_field(item, "validator")
        address = Address(fixed_field(entry, "address", 20))
        members.append(Validator(address, number_field(entry, "power", MAX_TOTAL_POWER)))
    return ValidatorSet(tuple(members))


# -- fields of JSON from outside ---------------------------------------------------------------------------------
def object_field(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DecodeError(f"{name}: expected an object, got {type(value).__name__}")
    return value


def list_field(source: Mapping[str, Any], name: str, minimum: int, maximum: int) -> list[Any]:
    value = source.get(name)
    if not isinstance(value, list):
        raise DecodeError(f"{name}: expected a list, got {type(value).__name__}")
    if not minimum <= len(value) <= maximum:
        raise DecodeError(f"{name}: expected {minimum} to {maximum} entries, got {len(value)}")
    return value


def data_field(value: Any, name: str, limit: int) -> bytes:
    """Hex digits in pairs after 0x, at most `limit` bytes."""
    if not isinstance(value, str) or value[:2] != "0x" or len(value) % 2 or not _HEX.issuperset(value[2:]):
        raise DecodeError(f"{name}: expected hex data")
    if len(value) > 2 + 2 * limit:
        raise DecodeError(f"{name}: expected at most {limit} bytes, got {len(value) // 2 - 1}")
    return bytes.fromhex(value[2:])


def fixed_field(source: Mapping[str, Any], name: str, size: int) -> bytes:
    data = data_field(source.get(name), name, size)
    if len(data) != size:
        raise DecodeError(f"{name}: expected {size} bytes, got {len(data)}")
    return data


def number_field(source: Mapping[str, Any], name: str, limit: int) -> int:
    value = source.get(name)
    if not isinstance(value, str) or value[:2] != "0x" or not 3 <= len(value) <= 18 or not _HEX.issuperset(value[2:]):
        raise DecodeError(f"{name}: expected a quantity")
    number = int(value, 16)
    if number > limit:
        raise DecodeError(f"{name}: expected at most {limit}, got {number}")
    return number
