"""The consensus record: what is dmchain's own about a block, bound to its Ethereum header.

The root of the record is the header's `parent_beacon_block_root`, so contracts can read it through EIP-4788 and prove
a field with four hashes. The root is an input of execution: nothing in the record may depend on the block's own
post-state.
"""

from __future__ import annotations

from dataclasses import dataclass

from dmchain.chain.primitives.codec import decode, encode, to_bytes, to_int, to_list
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import ZERO_ADDRESS, ZERO_HASH, Address, Hash32

RECORD_VERSION = 1
LEAVES = 16
"""Of the tree; four hashes prove one."""


@dataclass(frozen=True, slots=True)
class Record:
    """Facts of one block. `timestamp_ms` are milliseconds since the epoch, strictly increasing along the chain.

    `validators_hash` is of the set that signs this height, `next_validators_hash` of the next one's; hashes of empty
    things are zero.
    """

    chain_id: int
    height: int
    timestamp_ms: int
    epoch: int = 0
    proposer: Address = ZERO_ADDRESS
    validators_hash: Hash32 = ZERO_HASH
    next_validators_hash: Hash32 = ZERO_HASH
    last_commit_hash: Hash32 = ZERO_HASH
    evidence_hash: Hash32 = ZERO_HASH
    params_hash: Hash32 = ZERO_HASH
    randao_reveal: Hash32 = ZERO_HASH
    minimum_software: int = 0
    version: int = RECORD_VERSION

    def leaves(self) -> list[bytes]:
        """The 16 leaves, 32 bytes each: numbers big-endian, addresses left-padded, the last three zero."""
        fields = [
            self.version.to_bytes(32, "big"),
            self.chain_id.to_bytes(32, "big"),
            self.height.to_bytes(32, "big"),
            self.epoch.to_bytes(32, "big"),
            self.proposer.rjust(32, b"\0"),
            self.validators_hash,
            self.next_validators_hash,
            self.last_commit_hash,
            self.evidence_hash,
            self.params_hash,
            self.randao_reveal,
            self.timestamp_ms.to_bytes(32, "big"),
            self.minimum_software.to_bytes(32, "big"),
        ]
        return fields + [bytes(32)] * (LEAVES - len(fields))

    def root(self) -> Hash32:
        """Keccak over pairs, level by level."""
        level = self.leaves()
        while len(level) > 1:
            level = [keccak(level[at] + level[at + 1]) for at in range(0, len(level), 2)]
        return Hash32(level[0])

    def encode(self) -> bytes:
        return encode(
            [
                self.version, self.chain_id, self.height, self.epoch, self.proposer, self.validators_hash,
                self.next_validators_hash, self.last_commit_hash, self.evidence_hash, self.params_hash,
                self.randao_reveal, self.timestamp_ms, self.minimum_software,
            ]
        )  # fmt: skip

    @classmethod
    def decode(cls, raw: bytes) -> Record:
        items = to_list(decode(raw), "record", 13)
        hashes = [Hash32(to_bytes(item, "record hash", 32)) for item in items[5:11]]
        return cls(
            version=to_int(items[0], "record version", 32),
            chain_id=to_int(items[1], "record chain id", 64),
            height=to_int(items[2], "record height", 64),
            epoch=to_int(items[3], "record epoch", 64),
            proposer=Address(to_bytes(items[4], "record proposer", 20)),
            validators_hash=hashes[0],
            next_validators_hash=hashes[1],
            last_commit_hash=hashes[2],
            evidence_hash=hashes[3],
            params_hash=hashes[4],
            randao_reveal=hashes[5],
            timestamp_ms=to_int(items[11], "record timestamp", 64),
            minimum_software=to_int(items[12], "record minimum software", 32),
        )


def compute_mix(previous: bytes, reveal: bytes) -> Hash32:
    """prevRandao of a block: keccak(the parent's || this block's reveal)."""
    return keccak(previous + reveal)
