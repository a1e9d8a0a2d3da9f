"""A validator's randao seed: one file beside its keys, from which all its onions follow.

    {"seed": "0x… 32 bytes", "generation": 0}

The core of an onion is a hash of seed and generation; each new onion is of the next generation. How much of it has been
revealed is in the chain's state, so there is no counter to lose: onions are made again and compared with the anchor.
The seed is not the consensus key: who learns it can foresee this validator's reveals, and sign nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import Hash32
from dmchain.chain.staking.layout import Onions
from dmchain.chain.staking.randao import HashOnion
from dmchain.node.home import PRIVATE_FILE, write_atomically
from dmchain.node.keystore import KeyFileError, read_private_text

ONION_LAYERS: Final = 1 << 18
"""Blocks of one onion: a month and a half of a validator that proposes every fifteen seconds; 0.2 s to make."""
GENERATIONS_AHEAD: Final = 4
"""How far beyond the generation in memory is searched: others may have been made since the node has started."""
GENERATIONS_BACK: Final = 16
_DOMAIN: Final = b"dmchain randao v1"


class RandaoSeed:
    """All onions of one seed. The one used last is kept: a hash in 512, 33 kB of a whole one."""

    def __init__(self, seed: bytes, generation: int = 0) -> None:
        """`seed` 32 bytes; `generation` of the onion that was made last. Raises ValueError."""
        if len(seed) != 32:
            raise ValueError(f"seed: got {len(seed)} bytes, expected 32")
        self.seed = seed
        self.generation = generation
        self._used: tuple[int, HashOnion] | None = None
        self._missed: tuple[Hash32, int] | None = None
        """An anchor that no generation has; not searched for again."""

    def make_onion(self, generation: int, length: int) -> HashOnion:
        return HashOnion(Hash32(keccak(_DOMAIN + generation.to_bytes(8, "big") + self.seed)), length)

    def next_reveal(self, onions: Onions) -> Hash32 | None:
        """The preimage of the anchor, which has `left` layers below it; None when it is of another seed.

        Hashes a whole onion when the generation changes, else some layers at most.
        """
        if onions.left == 0 or (onions.anchor, onions.left) == self._missed:
            return None
        for generation in self._generations():
            onion = self._onion_of(generation, onions.left)
            if onion.layer(onions.left) == onions.anchor:
                self._used = generation, onion
                return onion.layer(onions.left - 1)
        self._missed = onions.anchor, onions.left
        return None

    def _generations(self) -> Iterator[int]:
        """The likely ones first."""
        current = self.generation if self._used is None else self._used[0]
        yield current
        yield from range(current + 1, self.generation + GENERATIONS_AHEAD + 1)
        yield from range(current - 1, max(current - GENERATIONS_BACK, 0) - 1, -1)

    def _onion_of(self, generation: int, length: int) -> HashOnion:
        if self._used is not None and self._used[0] == generation and self._used[1].length >= length:
            return self._used[1]
        return self.make_onion(generation, length)


def create_seed(path: Path) -> RandaoSeed:
    """Write a new seed; raises KeyFileError when there is one already."""
    if path.exists():
        raise KeyFileError(f"{path}: exists already")
    seed = RandaoSeed(os.urandom(32))
    save_seed(path, seed)
    return seed


def save_seed(path: Path, seed: RandaoSeed) -> None:
    document = {"seed": "0x" + seed.seed.hex(), "generation": seed.generation}
    write_atomically(path, json.dumps(document).encode() + b"\n", mode=PRIVATE_FILE)


def load_seed(path: Path) -> RandaoSeed:
    """Raises KeyFileError when the file is not a seed's, or others can read it."""
    try:
        document = json.loads(read_private_text(path))
        seed = bytes.fromhex(document["seed"].removeprefix("0x"))
        generation = document["generation"]
        if type(generation) is not int or not 0 <= generation < 1 << 48:
            raise ValueError(f"generation: got {generation!r}")
        return RandaoSeed(seed, generation)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise KeyFileError(f"{path}: not a randao seed: {error}") from error
