"""LicenseLedger: who may use which data set until when.

Only a data set's controller in the CidRegistry (its owner, unless it named a contract) grants, extends, meters and
revokes licences. Anyone gates anything with one call: `hasLicense` reads two storage slots.

A data set has at most one licence per account. It is valid when the data set is active, it is not revoked, the block's
time is before `expiresAt` (0: never expires), and, if it is metered, units are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from dmchain.chain.primitives.types import ZERO_ADDRESS
from dmchain.marketplace_vm.precompiles import CID_REGISTRY, LICENSE_LEDGER, gas
from dmchain.marketplace_vm.precompiles.abi import encode_uint, enum, error, event, function, struct
from dmchain.marketplace_vm.precompiles.dispatch import COMMON_ERRORS, Handler, NativeContract
from dmchain.marketplace_vm.precompiles.host import Host
from dmchain.marketplace_vm.precompiles.layout import (
    UINT64_MAX,
    DatasetStatus,
    DatasetWord,
    LicenseKind,
    LicenseWord,
    controller_slot,
    dataset_slot,
    license_slot,
    next_slot,
    unpack_dataset,
    unpack_license,
)

MAX_LICENSE_QUERIES: Final = 256
"""One bit each in the answer of hasLicenses."""


class LicenseStatus(IntEnum):
    NONE = 0
    """Never granted."""
    VALID = 1
    EXPIRED = 2
    EXHAUSTED = 3
    """No units left."""
    REVOKED = 4
    DATASET_RETIRED = 5
    SUPERSEDED = 6
    """Granted by a registrant from whom an earlier commitment has taken the data set."""


_SCOPE = "ILicenseLedger"
_KIND = enum(LicenseKind, _SCOPE)
_STATUS = enum(LicenseStatus, _SCOPE)
_LICENSE = struct(
    """License(LicenseStatus status, LicenseKind kind, bool metered, uint64 expiresAt, uint64 units, uint64 grantedAt,
        bytes32 termsHash)""",
    _SCOPE,
    {"LicenseStatus": _STATUS, "LicenseKind": _KIND},
)
_TYPES = {"License": _LICENSE, "LicenseKind": _KIND, "LicenseStatus": _STATUS}

GRANTED = event(
    """LicenseGranted(bytes32 indexed datasetId, address indexed licensee, LicenseKind kind, uint64 expiresAt,
        uint64 units, bytes32 termsHash, address controller)""",
    _TYPES,
)
EXTENDED = event("LicenseExtended(bytes32 indexed datasetId, address indexed licensee, uint64 expiresAt, uint64 units)")
CONSUMED = event("UnitsConsumed(bytes32 indexed datasetId, address indexed licensee, uint64 units, uint64 remaining)")
REVOKED = event("LicenseRevoked(bytes32 indexed datasetId, address indexed licensee, bytes32 reason)")

UNKNOWN_DATASET = error("UnknownDataset(bytes32 datasetId)")
RETIRED_DATASET = error("RetiredDataset(bytes32 datasetId)")
NOT_CONTROLLER = error("NotController(bytes32 datasetId, address caller, address controller)")
INVALID_LICENSEE = error("InvalidLicensee(address licensee)")
INVALID_KIND = error("InvalidKind(uint8 kind)")
INVALID_EXPIRY = error("InvalidExpiry(uint64 given, uint64 earliest)")
INVALID_UNITS = error("InvalidUnits(uint64 given)")
LICENSE_IN_FORCE = error("LicenseInForce(bytes32 datasetId, address licensee)")
LICENSE_NOT_IN_FORCE = error("LicenseNotInForce(bytes32 datasetId, address licensee, LicenseStatus status)", _TYPES)
INSUFFICIENT_UNITS = error("InsufficientUnits(bytes32 datasetId, address licensee, uint64 available, uint64 needed)")
TOO_MANY_QUERIES = error("TooManyQueries(uint256 given, uint256 allowed)")


# ---------------------------------------------------------------- rules


def compute_status(dataset: DatasetWord, word: int, timestamp: int) -> LicenseStatus:
    """Return the status of the licence stored as `word` (0: none) at `timestamp` (seconds)."""
    if word == 0:
        return LicenseStatus.NONE
    held = unpack_license(word)
    if held.generation != dataset.first_version:
        return LicenseStatus.SUPERSEDED
    if held.revoked:
        return LicenseStatus.REVOKED
    if dataset.status != DatasetStatus.ACTIVE:
        return LicenseStatus.DATASET_RETIRED
    if held.expires_at and timestamp >= held.expires_at:
        return LicenseStatus.EXPIRED
    if held.metered and held.units == 0:
        return LicenseStatus.EXHAUSTED
    return LicenseStatus.VALID


def is_valid(dataset_word: int, license_word: int, timestamp: int) -> bool:
    """Return whether `compute_status` would say VALID; straight from the packed words, because all gates ask it."""
    return (
        license_word != 0
        and dataset_word >> 240 & 0xFF == DatasetStatus.ACTIVE
        and license_word >> 192 & 0xFFFFFF == dataset_word >> 184 & 0xFFFFFF  # generation
        and not license_word >> 224 & 0xFF  # revoked
        and not 0 < license_word & UINT64_MAX <= timestamp  # expiresAt
        and (license_word >> 232 == 0 or license_word >> 64 & UINT64_MAX != 0)  # metered, units
    )


def _check_license(host: Host, dataset_id: bytes, licensee: bytes) -> bool:
    """Two storage reads, always."""
    dataset_word = host.load(dataset_slot(dataset_id), CID_REGISTRY)
    license_word = host.load(license_slot(dataset_id, licensee))
    return is_valid(dataset_word, license_word, host.timestamp)


def _authorise(host: Host, dataset_id: bytes) -> DatasetWord:
    """Return the data set; reverts with UnknownDataset, or NotController for anyone else."""
    word = host.load(dataset_slot(dataset_id), CID_REGISTRY)
    if word == 0:
        raise UNKNOWN_DATASET(dataset_id)
    dataset = unpack_dataset(word)
    controller = host.load(controller_slot(dataset_id), CID_REGISTRY).to_bytes(20, "big")
    if controller == ZERO_ADDRESS:
        controller = dataset.owner
    if host.caller != controller:
        raise NOT_CONTROLLER(dataset_id, host.caller, controller)
    return dataset


def _require_active(dataset_id: bytes, dataset: DatasetWord) -> None:
    if dataset.status != DatasetStatus.ACTIVE:
        raise RETIRED_DATASET(dataset_id)


# ---------------------------------------------------------------- changes


def grant(
    host: Host, dataset_id: bytes, licensee: bytes, kind: int, expires_at: int, units: int, terms_hash: bytes
) -> bytes:
    dataset = _authorise(host, dataset_id)
    _require_active(dataset_id, dataset)
    if licensee == ZERO_ADDRESS:
        raise INVALID_LICENSEE(licensee)
    if not LicenseKind.ONE_TIME <= kind <= LicenseKind.PAY_PER_COMPUTE:
        raise INVALID_KIND(kind)
    now = min(host.timestamp, UINT64_MAX - 1)
    if expires_at <= now and (expires_at or kind == LicenseKind.SUBSCRIPTION):
        raise INVALID_EXPIRY(expires_at, now + 1)
    if units == 0 and kind == LicenseKind.PAY_PER_COMPUTE:
        raise INVALID_UNITS(units)
    slot = license_slot(dataset_id, licensee)
    if compute_status(dataset, host.load(slot), host.timestamp) == LicenseStatus.VALID:
        # Whoever pays a licence for somebody else must not be able to shorten the one he has.
        raise LICENSE_IN_FORCE(dataset_id, licensee)
    held = LicenseWord(expires_at, units, now, dataset.first_version, kind, revoked=False, metered=units > 0)
    host.store(slot, held.pack())
    host.store(next_slot(slot), int.from_bytes(terms_hash, "big"))
    host.emit(*GRANTED.encode(dataset_id, licensee, kind, expires_at, units, terms_hash, host.caller))
    return b""


def extend(host: Host, dataset_id: bytes, licensee: bytes, expires_at: int, units: int) -> bytes:
    dataset = _authorise(host, dataset_id)
    _require_active(dataset_id, dataset)
    slot = license_slot(dataset_id, licensee)
    held = _require_granted(host, dataset, dataset_id, licensee, slot)
    now = min(host.timestamp, UINT64_MAX - 1)
    if held.expires_at == 0:
        if expires_at:
            raise INVALID_EXPIRY(expires_at, 0)
    elif expires_at <= now or expires_at < held.expires_at:
        raise INVALID_EXPIRY(expires_at, max(now + 1, held.expires_at))
    total = held.units + units
    if total > UINT64_MAX or (units and not held.metered):
        raise INVALID_UNITS(units)
    host.store(slot, held._replace(expires_at=expires_at, units=total).pack())
    host.emit(*EXTENDED.encode(dataset_id, licensee, expires_at, total))
    return b""


def consume(host: Host, dataset_id: bytes, licensee: bytes, units: int) -> bytes:
    dataset = _authorise(host, dataset_id)
    _require_active(dataset_id, dataset)
    if units == 0:
        raise INVALID_UNITS(units)
    slot = license_slot(dataset_id, licensee)
    word = host.load(slot)
    status = compute_status(dataset, word, host.timestamp)
    held = unpack_license(word)
    if status == LicenseStatus.EXHAUSTED or (status == LicenseStatus.VALID and held.metered and units > held.units):
        raise INSUFFICIENT_UNITS(dataset_id, licensee, held.units, units)
    if status != LicenseStatus.VALID:
        raise LICENSE_NOT_IN_FORCE(dataset_id, licensee, status)
    remaining = UINT64_MAX
    if held.metered:
        remaining = held.units - units
        host.store(slot, held._replace(units=remaining).pack())
    host.emit(*CONSUMED.encode(dataset_id, licensee, units, remaining))
    return encode_uint(remaining)


def revoke(host: Host, dataset_id: bytes, licensee: bytes, reason: bytes) -> bytes:
    dataset = _authorise(host, dataset_id)
    slot = license_slot(dataset_id, licensee)
    held = _require_granted(host, dataset, dataset_id, licensee, slot)
    host.store(slot, held._replace(revoked=True).pack())
    host.emit(*REVOKED.encode(dataset_id, licensee, reason))
    return b""


def _require_granted(host: Host, dataset: DatasetWord, dataset_id: bytes, licensee: bytes, slot: int) -> LicenseWord:
    """Return a licence that was granted and not revoked, expired or not; reverts with LicenseNotInForce."""
    word = host.load(slot)
    status = compute_status(dataset, word, host.timestamp)
    if status in (LicenseStatus.NONE, LicenseStatus.REVOKED, LicenseStatus.SUPERSEDED):
        raise LICENSE_NOT_IN_FORCE(dataset_id, licensee, status)
    return unpack_license(word)


# ---------------------------------------------------------------- views


def has_license(host: Host, dataset_id: bytes, account: bytes) -> bytes:
    return encode_uint(1 if _check_license(host, dataset_id, account) else 0)


def has_licenses(host: Host, dataset_ids: Sequence[bytes], account: bytes) -> bytes:
    if len(dataset_ids) > MAX_LICENSE_QUERIES:
        raise TOO_MANY_QUERIES(len(dataset_ids), MAX_LICENSE_QUERIES)
    bitmap = 0
    for position, dataset_id in enumerate(dataset_ids):
        host.charge(gas.LICENSE_CHECK)
        if _check_license(host, dataset_id, account):
            bitmap |= 1 << position
    return encode_uint(bitmap)


def license_of(host: Host, dataset_id: bytes, account: bytes) -> bytes:
    slot = license_slot(dataset_id, account)
    word = host.load(slot)
    if word == 0:
        return LICENSE_OF.encode_result((LicenseStatus.NONE, LicenseKind.NONE, False, 0, 0, 0, bytes(32)))
    held = unpack_license(word)
    dataset = unpack_dataset(host.load(dataset_slot(dataset_id), CID_REGISTRY))
    terms_hash = host.load(next_slot(slot)).to_bytes(32, "big")
    status = compute_status(dataset, word, host.timestamp)
    fields = (status, held.kind, held.metered, held.expires_at, held.units, held.granted_at, terms_hash)
    return LICENSE_OF.encode_result(fields)


# ---------------------------------------------------------------- the interface

LICENSE_OF = function("licenseOf(bytes32 datasetId, address account) view returns (License)", _TYPES)

CONTRACT: Final = NativeContract(
    name=_SCOPE,
    address=LICENSE_LEDGER,
    handlers=(
        Handler(
            function(
                """grant(bytes32 datasetId, address licensee, LicenseKind kind, uint64 expiresAt, uint64 units,
                bytes32 termsHash)""",
                _TYPES,
            ),
            gas.GRANT,
            grant,
        ),
        Handler(
            function("extend(bytes32 datasetId, address licensee, uint64 expiresAt, uint64 units)"),
            gas.CHANGE_LICENSE,
            extend,
        ),
        Handler(
            function("consume(bytes32 datasetId, address licensee, uint64 units) returns (uint64 remaining)"),
            gas.CHANGE_LICENSE,
            consume,
        ),
        Handler(function("revoke(bytes32 datasetId, address licensee, bytes32 reason)"), gas.CHANGE_LICENSE, revoke),
        Handler(
            function("hasLicense(bytes32 datasetId, address account) view returns (bool)"),
            gas.LICENSE_CHECK,
            has_license,
        ),
        Handler(LICENSE_OF, gas.LICENSE_OF, license_of),
        Handler(
            function("hasLicenses(bytes32[] datasetIds, address account) view returns (uint256 bitmap)"),
            gas.VIEW,
            has_licenses,
        ),
    ),
    errors=(
        *COMMON_ERRORS,
        UNKNOWN_DATASET,
        RETIRED_DATASET,
        NOT_CONTROLLER,
        INVALID_LICENSEE,
        INVALID_KIND,
        INVALID_EXPIRY,
        INVALID_UNITS,
        LICENSE_IN_FORCE,
        LICENSE_NOT_IN_FORCE,
        INSUFFICIENT_UNITS,
        TOO_MANY_QUERIES,
    ),
    events=(GRANTED, EXTENDED, CONSUMED, REVOKED),
)
