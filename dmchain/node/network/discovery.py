"""Peer exchange: nodes sign where they can be reached, and pass such records on."""

from __future__ import annotations

import ipaddress
import struct
from typing import Final

from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import SignatureError
from dmchain.node.network.errors import SCORE_BAD_SIGNATURE, ProtocolError
from dmchain.node.network.identity import ChainIdentity, NodeId, NodeKey, recover_signer
from dmchain.node.network.messages import PeerRecord
from dmchain.node.network.transport import Endpoint

_DOMAIN: Final = b"dmchain peer record v1"


def make_record(key: NodeKey, chain: ChainIdentity, endpoint: Endpoint, sequence: int) -> PeerRecord:
    """Sign that this node listens at `endpoint`, an IP literal with a port; raises ValueError for anything else.

    `sequence` below 2**64 must grow from run to run: nodes keep the highest one they have seen.
    """
    ip = endpoint.ip
    if ip is None or ip.is_unspecified or not endpoint.port:
        raise ValueError(f"advertised address: expected an IP address and a port, got {endpoint}")
    return PeerRecord(ip.packed, endpoint.port, sequence, key.sign(_digest(chain, ip.packed, endpoint.port, sequence)))


def check_record(record: PeerRecord, chain: ChainIdentity) -> tuple[NodeId, Endpoint]:
    """Return who can be reached where; raises ProtocolError when the record is not well formed and signed.

    A record of anybody's making is well signed, by a key of anybody's making: it proves no more than that the holder of
    the key wants to be called there.
    """
    if len(record.ip) not in (4, 16) or not record.port:
        raise ProtocolError(f"peer record: expected an IP and a port, got {len(record.ip)} bytes, port {record.port}")
    try:
        node_id = recover_signer(_digest(chain, record.ip, record.port, record.sequence), record.signature)
    except SignatureError as error:
        raise ProtocolError(f"peer record: {error}", score=SCORE_BAD_SIGNATURE) from error
    return node_id, record_endpoint(record)


def record_endpoint(record: PeerRecord) -> Endpoint:
    """Where a well formed record says its node is."""
    return Endpoint(str(ipaddress.ip_address(record.ip)), record.port)


def is_dialable(endpoint: Endpoint, *, allow_loopback: bool) -> bool:
    """Whether a hearsay address may be dialled: a peer must not send us to our own machine's services."""
    ip = endpoint.ip
    if ip is None or ip.is_unspecified or ip.is_multicast or ip.is_link_local or ip.is_reserved:
        return False
    return allow_loopback or not ip.is_loopback


def _digest(chain: ChainIdentity, ip: bytes, port: int, sequence: int) -> bytes:
    # the length of the IP address tells the two kinds apart
    return keccak(_DOMAIN + chain.prologue() + struct.pack(">BHQ", len(ip), port, sequence) + ip)
