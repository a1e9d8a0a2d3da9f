"""Milliseconds to verify one commit, for 4 to 300 validators.

    python bench/commit_verification.py [--quick] [--json FILE]

Three ways: every signature recovered (what is stored or goes into a block), every signature by parsed keys, and keys
up to two thirds only (what is read and thrown away). Nothing is cached between repetitions but parsed keys. Median of the
repetitions, the best in brackets.
"""

# ruff: noqa: E402  (the imports need the checkout on sys.path)

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from dmchain.chain.consensus.commit import Commit, verify_commit, verify_commit_quorum
from dmchain.chain.consensus.messages import NO_ROUND, PRECOMMIT, Vote
from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.consensus.signbytes import compute_domain, sign_digest
from dmchain.chain.consensus.validators import Validator, ValidatorSet
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.types import Hash32

SIZES = (4, 7, 21, 50, 100, 200, 300)
REPETITIONS = 15
DOMAIN = compute_domain(1337, Hash32(bytes(32)))


def make(size: int) -> tuple[Commit, ValidatorSet]:
    """A set of `size` and the commit that all of it has signed."""
    keys = [PrivateKey(hashlib.sha256(b"%d" % number).digest()) for number in range(size)]
    keys.sort(key=lambda key: key.address)
    validators = ValidatorSet(tuple(Validator.from_public_key(key.public_key, 1) for key in keys))
    block_hash = Hash32(b"\x11" * 32)
    signatures = []
    for index, key in enumerate(keys):
        parity, r, s = key.sign(sign_digest(DOMAIN, Vote(PRECOMMIT, 9, 0, NO_ROUND, block_hash, index)))
        signatures.append(r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity]))
    return Commit(9, 0, block_hash, tuple(signatures)), validators


def ways(commit: Commit, validators: ValidatorSet) -> dict[str, Callable[[], int]]:
    keyed = SignatureChecker(DOMAIN)

    def by_key(vote: Vote, members: ValidatorSet) -> bool:
        return keyed.is_signed_by_key(vote, members.validators[vote.validator])

    return {
        "recovered": lambda: verify_commit(commit, validators, SignatureChecker(DOMAIN).is_signed),
        "by keys": lambda: verify_commit(commit, validators, by_key),
        "quorum by keys": lambda: verify_commit_quorum(commit, validators, by_key),
    }


def measure(act: Callable[[], Any], repetitions: int) -> tuple[float, float]:
    """Median and best, in milliseconds; the first run warms up."""
    act()
    times = []
    for _ in range(repetitions):
        began = time.perf_counter()
        act()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times), min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    repetitions = 3 if arguments.quick else REPETITIONS
    rows = []
    print(f"{'validators':>10} {'recovered':>18} {'by keys':>18} {'quorum by keys':>18} {'bytes':>7}")
    for size in SIZES:
        commit, validators = make(size)
        row: dict[str, Any] = {"validators": size, "bytes": len(commit.encode())}
        for name, act in ways(commit, validators).items():
            row[name] = measure(act, repetitions)
        rows.append(row)
        shown = "".join(f"{f'{row[name][0]:.2f} ({row[name][1]:.2f}) ms':>19}" for name in ways(commit, validators))
        print(f"{size:>10}{shown} {row['bytes']:>7}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
