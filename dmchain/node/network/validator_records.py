"""Which node votes with which consensus key, and where it is reached: said by the key itself and by the node; sans-IO.

A record is signed twice over the same digest: by the consensus key, so that nobody speaks for another validator, and by
the node key, so that no validator can claim another one's node. The higher sequence counts, which is the time it was made
in seconds since the epoch, as `expires` is. Only keys that the caller knows are remembered, each once: that bounds memory,
and comes before the signatures, which bounds work.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable
from typing import Final

from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.errors import SignatureError
from dmchain.chain.primitives.types import Address
from dmchain.node.network.errors import SCORE_BAD_SIGNATURE, ProtocolError
from dmchain.node.network.identity import ChainIdentity, NodeId, recover_signer
from dmchain.node.network.messages import ValidatorRecord
from dmchain.node.network.transport import Endpoint

LIFETIME_SECONDS: Final = 6 * 3600
"""A validator renews its record every hour; one that is away for longer is not looked for at its old place."""
MAX_SKEW_SECONDS: Final = 600
"""Clocks may differ so much; a record of a later time is not taken, lest it could never be replaced."""
MIN_RENEWAL_SECONDS: Final = 5
"""Between two records of a validator: faster ones are not news, and are not passed on."""
MAX_RECORDS: Final = 512

_DOMAIN: Final = b"dmchain validator record v1"
_NUMBERS: Final = struct.Struct(">BHQQ")


def make_validator_record(
    consensus_key: PrivateKey, node_key: PrivateKey, chain: ChainIdentity, endpoint: Endpoint | None, now: int
) -> ValidatorRecord:
    """Say that the node votes with the key, and is reached at `endpoint` (an IP literal; None: it does not say).

    `now` in seconds since the epoch. Raises ValueError for an endpoint that is no IP address with a port.
    """
    packed, port = b"", 0
    if endpoint is not None:
        ip = endpoint.ip
        if ip is None or ip.is_unspecified or not endpoint.port:
            raise ValueError(f"advertised address: expected an IP address and a port, got {endpoint}")
        packed, port = ip.packed, endpoint.port
    bare = ValidatorRecord(
        consensus_key.address, node_key.address, packed, port, now, now + LIFETIME_SECONDS, bytes(65), bytes(65)
    )
    digest = _digest(bare, chain)
    return ValidatorRecord(
        bare.consensus, bare.node_id, packed, port, now, bare.expires, _sign(consensus_key, digest), _sign(node_key, digest)
    )


def check_validator_record(record: ValidatorRecord, chain: ChainIdentity) -> None:
    """Raises ProtocolError when the record is not well formed, or not signed by both keys."""
    if len(record.ip) not in (0, 4, 16) or bool(record.ip) != bool(record.port):
        raise ProtocolError(f"validator record: got an address of {len(record.ip)} bytes and port {record.port}")
    if not 0 < record.expires - record.sequence <= LIFETIME_SECONDS:
        raise ProtocolError(f"validator record: lives for {record.expires - record.sequence} s")
    digest = _digest(record, chain)
    for name, signature, expected in (
        ("consensus key", record.consensus_signature, record.consensus),
        ("node", record.node_signature, record.node_id),
    ):
        try:
            signer = recover_signer(digest, signature)
        except SignatureError as error:
            raise ProtocolError(f"validator record: {error}", score=SCORE_BAD_SIGNATURE) from error
        if signer != expected:
            raise ProtocolError(
                f"validator record: not signed by the {name} 0x{expected.hex()}", score=SCORE_BAD_SIGNATURE
            )


def validator_endpoint(record: ValidatorRecord) -> Endpoint | None:
    """Where the record says its node is; None when it does not."""
    return Endpoint(str(ipaddress.ip_address(record.ip)), record.port) if record.ip else None


class ValidatorBook:
    """The newest record of each validator.

    INVARIANT: at most MAX_RECORDS, one for each consensus key, and no two with the same node.
    """

    def __init__(self, chain: ChainIdentity, is_known: Callable[[Address], bool]) -> None:
        """`is_known`: whether a consensus key is that of a validator, or of one that may become one."""
        self._chain = chain
        self._is_known = is_known
        self._records: dict[Address, ValidatorRecord] = {}
        self._validators: dict[NodeId, Address] = {}

    def take(self, record: ValidatorRecord, now: float) -> bool:
        """Remember a record if it is news; return whether it was. Raises ProtocolError when it is a lie."""
        known = self._records.get(record.consensus)
        if known is not None and record.sequence < known.sequence + MIN_RENEWAL_SECONDS:
            return False
        if record.expires <= now or record.sequence > now + MAX_SKEW_SECONDS or not self._is_known(record.consensus):
            return False
        if known is None and len(self._records) >= MAX_RECORDS:
            return False
        check_validator_record(record, self._chain)
        self._forget(record.consensus)
        former = self._validators.get(record.node_id)
        if former is not None:
            self._forget(former)  # the node itself says that it votes with another key now
        self._records[record.consensus] = record
        self._validators[record.node_id] = record.consensus
        return True

    def prune(self, now: float) -> None:
        """Forget what has expired, and keys that are no validator's any more."""
        for record in list(self._records.values()):
            if record.expires <= now or not self._is_known(record.consensus):
                self._forget(record.consensus)

    def _forget(self, consensus: Address) -> None:
        record = self._records.pop(consensus, None)
        if record is not None:
            del self._validators[record.node_id]

    def get(self, consensus: Address) -> ValidatorRecord | None:
        return self._records.get(consensus)

    def validator_of(self, node_id: NodeId) -> Address | None:
        return self._validators.get(node_id)

    def records(self) -> tuple[ValidatorRecord, ...]:
        return tuple(self._records.values())


def _sign(key: PrivateKey, digest: bytes) -> bytes:
    y_parity, r, s = key.sign(digest)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((y_parity,))


def _digest(record: ValidatorRecord, chain: ChainIdentity) -> bytes:
    numbers = _NUMBERS.pack(len(record.ip), record.port, record.sequence, record.expires)
    return keccak(_DOMAIN + chain.prologue() + record.consensus + record.node_id + numbers + record.ip)
