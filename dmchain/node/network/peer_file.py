"""What outlives the process: reached nodes, scores and bans, in one JSON file of the home directory.

Nothing depends on it: a file that is missing or broken means starting without it.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Final

from dmchain.chain.primitives.errors import StorageError
from dmchain.node.home import PRIVATE_FILE, write_atomically
from dmchain.node.network.addresses import AddressBook
from dmchain.node.network.discovery import check_record
from dmchain.node.network.errors import NetworkError
from dmchain.node.network.identity import ChainIdentity
from dmchain.node.network.messages import PeerRecord
from dmchain.node.network.reputation import Reputation

logger = logging.getLogger("dmchain.network")

FILE_VERSION: Final = 1
MAX_FILE_BYTES: Final = 4 * 1024 * 1024


def save(path: Path, book: AddressBook, reputation: Reputation, now: float) -> None:
    """Replace the file; a full disk is reported and does no other harm."""
    state = {"version": FILE_VERSION, "addresses": book.dump(), "reputation": reputation.dump(now)}
    try:
        write_atomically(path, json.dumps(state, separators=(",", ":")).encode(), mode=PRIVATE_FILE)
    except (OSError, StorageError) as error:
        logger.warning("peers file %s not written: %s", path, error)


def load(path: Path, book: AddressBook, reputation: Reputation, chain: ChainIdentity, now: float) -> None:
    """Add what the file says. Signatures are checked again: the file may be of another chain."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise ValueError(f"expected at most {MAX_FILE_BYTES} bytes")
        state = json.loads(raw)
        if state["version"] != FILE_VERSION:
            raise ValueError(f"version: expected {FILE_VERSION}, got {state['version']!r}")
        reputation.load(state["reputation"], now)
        for ip, port, sequence, signature in state["addresses"]:
            record = PeerRecord(bytes.fromhex(ip), int(port), int(sequence), bytes.fromhex(signature))
            node_id, endpoint = check_record(record, chain)
            book.learn(node_id, endpoint, record, now)
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, KeyError, OverflowError, NetworkError) as error:
        logger.warning("peers file %s not used: %s", path, error)
