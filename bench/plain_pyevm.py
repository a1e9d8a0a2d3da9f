"""A chain of py-evm as it comes, on LevelDB: the slow twin of the throughput table.

py-evm's own MiningChain, state database, tries and opcodes, with two favours: the C keccak, and no JSON-RPC. Blocks of
500 transactions at most. The native market is py-evm's too: our handlers among its precompiles. Reads nothing; writes
one JSON object, name of the row to seconds per transaction, on stdout. Run by throughput.py as a process of its own.
"""

# ruff: noqa: E402  (the imports need the checkout on sys.path)

from __future__ import annotations

import os

os.environ["ETH_HASH_BACKEND"] = "pysha3"

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

import plyvel
from eth.abc import AtomicWriteBatchAPI, DatabaseAPI
from eth.chains.base import MiningChain
from eth.consensus import NoProofConsensus
from eth.db.backends.base import BaseAtomicDB
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.prague.state import PragueState

from bench.workloads import CHAIN_ID, FUNDS_WEI, ROWS, Workbench
from dmchain.chain.primitives.transaction import Transaction
from dmchain.marketplace_vm.precompiles.native import GENESIS_ACCOUNTS, PRECOMPILES

BLOCK_TRANSACTIONS = 500
GAS_LIMIT = 10**10


class LevelDB(BaseAtomicDB):
    """py-evm's database interface over plyvel."""

    def __init__(self, path: str) -> None:
        self._db = plyvel.DB(path, create_if_missing=True)

    def close(self) -> None:
        self._db.close()

    def __getitem__(self, key: bytes) -> bytes:
        value: bytes | None = self._db.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._db.put(key, value)

    def __delitem__(self, key: bytes) -> None:
        self._db.delete(key)

    def _exists(self, key: bytes) -> bool:
        return self._db.get(key) is not None

    @contextmanager
    def atomic_batch(self) -> Iterator[AtomicWriteBatchAPI]:
        with self._db.write_batch(transaction=True) as batch:
            yield _Batch(self._db, batch)


class _Batch(DatabaseAPI):
    """Reads see what the batch wrote."""

    def __init__(self, database: Any, batch: Any) -> None:
        self._db, self._batch = database, batch
        self._written: dict[bytes, bytes | None] = {}

    def __getitem__(self, key: bytes) -> bytes:
        value = self._written[key] if key in self._written else self._db.get(key)
        if value is None:
            raise KeyError(key)
        return bytes(value)

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._written[key] = value
        self._batch.put(key, value)

    def __delitem__(self, key: bytes) -> None:
        self._written[key] = None
        self._batch.delete(key)

    def __contains__(self, key: object) -> bool:
        return self._exists(key)  # type: ignore[arg-type]

    def exists(self, key: bytes) -> bool:
        return self._exists(key)

    def _exists(self, key: bytes) -> bool:
        return (self._written[key] if key in self._written else self._db.get(key)) is not None

    def set(self, key: bytes, value: bytes) -> None:
        self[key] = value

    def delete(self, key: bytes) -> None:
        del self[key]

    def __iter__(self) -> Iterator[bytes]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError


class MarketComputation(PragueComputation):
    _precompiles = {**PragueComputation._precompiles, **PRECOMPILES}  # type: ignore[dict-item]


class MarketState(PragueState):
    computation_class = MarketComputation


class MarketVM(PragueVM):
    _state_class = MarketState


def open_chain(database: LevelDB, bench: Workbench) -> MiningChain:
    """A fresh chain whose genesis funds the senders and holds the native contracts."""
    vm = MarketVM.configure(__name__="BenchVM", consensus_class=NoProofConsensus)
    chain_class = MiningChain.configure(__name__="BenchChain", vm_configuration=((0, vm),), chain_id=CHAIN_ID)
    state = {key.address: {"balance": FUNDS_WEI, "nonce": 0, "code": b"", "storage": {}} for key in bench.keys} | {
        address: {"balance": a.balance, "nonce": a.nonce, "code": a.code, "storage": dict(a.storage)}
        for address, a in GENESIS_ACCOUNTS.items()
    }
    parameters = {"difficulty": 0, "gas_limit": GAS_LIMIT, "timestamp": 1_700_000_000}
    chain: MiningChain = chain_class.from_genesis(database, parameters, state)
    return chain


def mine(chain: MiningChain, transactions: Sequence[Transaction]) -> None:
    """Decode and put everything in blocks; every transaction must succeed."""
    for start in range(0, len(transactions), BLOCK_TRANSACTIONS):
        decode = chain.get_vm().get_transaction_builder().decode
        batch = [decode(transaction.raw) for transaction in transactions[start : start + BLOCK_TRANSACTIONS]]
        _, receipts, computations = chain.mine_all(batch)
        failed = [computation.error for computation in computations if computation.is_error]
        assert not failed and len(receipts) == len(batch), failed[:1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    bench = Workbench()
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="dmchain-pyevm-") as folder, closing(LevelDB(folder)) as database:
        chain = open_chain(database, bench)
        for step in bench.deployments():
            mine(chain, step)
        for row in ROWS:
            count = row.slow_count // (4 if quick else 1)
            transactions = list(row.make(bench, count))
            started = time.perf_counter()
            mine(chain, transactions)
            found[row.name] = (time.perf_counter() - started) / count
    print(json.dumps(found), flush=True)
    # the interpreter's own end, with py-evm's cycles over plyvel, prints "Error in sys.excepthook" about nothing
    os._exit(0)


if __name__ == "__main__":
    main()
