"""Runs published Ethereum fixtures (execution-spec-tests) through this node's own executor.

State tests apply one signed transaction to a pre-state; block tests import blocks with full validation. Formats:
https://eest.ethereum.org, "state_test" and "blockchain_test".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dmchain.chain.blockchain import Blockchain
from dmchain.chain.executor import BlockEnvironment, Executor
from dmchain.chain.genesis import Genesis, GenesisAccount
from dmchain.chain.primitives.block import Block, Receipt
from dmchain.chain.primitives.codec import encode_list
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.rules import Rules, compute_blob_base_fee
from dmchain.chain.store.kv import MemoryKV

NETWORKS = {"Prague": None, "Osaka": 0}
"""Fork of a fixture -> osaka_time of the rules that run it."""

ExecutorFactory = Callable[[Rules], Executor]


class FixtureError(DmchainError):
    """The file is not a fixture that this runner understands."""


@dataclass(frozen=True, slots=True)
class FixtureResult:
    """One test. `error` is None when all was as expected."""

    name: str
    fork: str
    passed: bool
    error: str | None


def read_fixtures(path: Path) -> Iterator[tuple[Path, str, Any]]:
    """All tests of a file, or of every .json file below a directory, in path order."""
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    for file in files:
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FixtureError(f"{file}: {error}") from error
        if not isinstance(document, dict):
            raise FixtureError(f"{file}: expected an object of tests, got {type(document).__name__}")
        for name, test in document.items():
            if name != "_meta":
                yield file, name, test


def _number(text: str) -> int:
    return int(text, 16)


def _raw(text: str) -> bytes:
    return bytes.fromhex(text[2:] if text[:2] == "0x" else text)


def _alloc(pre: Mapping[str, Any]) -> dict[Address, GenesisAccount]:
    return {
        Address(_raw(address)): GenesisAccount(
            balance=_number(account["balance"]),
            nonce=_number(account["nonce"]),
            code=_raw(account["code"]),
            storage=tuple((_number(slot), _number(value)) for slot, value in account["storage"].items()),
        )
        for address, account in pre.items()
    }


def fixture_rules(fork: str, config: Mapping[str, Any]) -> Rules:
    """Ethereum's own rules: the whole of Prague, blobs, withdrawals and requests included."""
    chain_id = _number(config.get("chainid", "0x01"))
    return Rules(chain_id, NETWORKS[fork], strict_timestamps=True, blobs=True, withdrawals=True, requests=True)


# ---------------------------------------------------------------- state tests


def run_state_test(name: str, test: Mapping[str, Any], make: ExecutorFactory) -> Iterator[FixtureResult]:
    """Run every subtest of the forks this node knows."""
    for fork in NETWORKS:
        posts = test["post"].get(fork, [])
        for index, post in enumerate(posts):
            full = name if len(posts) == 1 else f"{name}#{index}"
            error = _run_state_subtest(fork, test, post, make)
            yield FixtureResult(full, fork, error is None, error)


def _run_state_subtest(
    fork: str, test: Mapping[str, Any], post: Mapping[str, Any], make: ExecutorFactory
) -> str | None:
    # a state test has no block around it: no system calls, no requests
    executor = make(replace(fixture_rules(fork, test.get("config", {})), requests=False))
    store = MemoryKV()
    genesis = executor.create(_alloc(test["pre"]))
    store.write(genesis.writes, sync=False)
    run = executor.begin(store, genesis.state_root, _state_environment(test["env"]), system_calls=False)
    expected_refusal = post.get("expectException")
    receipts: tuple[Receipt, ...] = ()
    root = genesis.state_root
    try:
        run.apply(Transaction.decode(_raw(post["txbytes"])))
    except DmchainError as error:
        if expected_refusal is None:
            return f"transaction refused: {error}"
    else:
        if expected_refusal is not None:
            return f"accepted a transaction that must be refused: {expected_refusal}"
        outcome = run.finish(())
        root, receipts = outcome.changes.state_root, outcome.receipts
    logs = b"".join([log.encode() for receipt in receipts for log in receipt.logs])
    logs_hash = keccak(encode_list(logs))
    if expected_refusal is None and logs_hash != _raw(post["logs"]):
        return f"logs: got 0x{logs_hash.hex()}, expected {post['logs']}"
    if root != _raw(post["hash"]):
        return f"state root: got 0x{root.hex()}, expected {post['hash']}"
    return None


def _state_environment(env: Mapping[str, str]) -> BlockEnvironment:
    number = _number(env["currentNumber"])
    excess = _number(env.get("currentExcessBlobGas", "0x0"))
    return BlockEnvironment(
        number=number,
        timestamp=_number(env["currentTimestamp"]),
        coinbase=Address(_raw(env["currentCoinbase"])),
        gas_limit=_number(env["currentGasLimit"]),
        base_fee=_number(env["currentBaseFee"]),
        prev_randao=Hash32(_number(env.get("currentRandom", "0x0")).to_bytes(32, "big")),
        parent_hash=Hash32(bytes(32)),
        parent_beacon_block_root=Hash32(bytes(32)),
        # a state test has no chain: the hash of block n is keccak of n in decimal
        block_hash=lambda wanted: keccak(str(wanted).encode()),
        excess_blob_gas=excess,
        blob_base_fee=compute_blob_base_fee(excess),
    )


# ---------------------------------------------------------------- block tests


def run_block_test(name: str, test: Mapping[str, Any], make: ExecutorFactory) -> Iterator[FixtureResult]:
    """Import the blocks of one test, if this node knows its network."""
    fork = test["network"]
    if fork in NETWORKS:
        error = _import_blocks(fork, test, make)
        yield FixtureResult(name, fork, error is None, error)


def _import_blocks(fork: str, test: Mapping[str, Any], make: ExecutorFactory) -> str | None:
    rules = fixture_rules(fork, test.get("config", {}))
    start = Block.decode(_raw(test["genesisRLP"]))
    chain = Blockchain(MemoryKV(), _FixtureGenesis(rules, _alloc(test["pre"]), start), make(rules))
    if chain.head.hash != start.hash:
        return f"genesis state root: got 0x{chain.head.state_root.hex()}, expected 0x{start.header.state_root.hex()}"
    for index, entry in enumerate(test["blocks"]):
        refused: str | None = None
        before = chain.head.hash
        try:
            chain.commit(chain.execute(Block.decode(_raw(entry["rlp"]))))
        except DmchainError as error:
            refused = str(error)
        if refused is not None and entry.get("expectException") is None:
            return f"block {index} refused: {refused}"
        if refused is None and entry.get("expectException") is not None:
            return f"block {index} accepted, must be refused: {entry['expectException']}"
        if refused is not None and chain.head.hash != before:
            return f"block {index} refused but the head moved"
    if chain.head.hash != _raw(test["lastblockhash"]):
        return f"head: got 0x{chain.head.hash.hex()}, expected {test['lastblockhash']}"
    return None


class _FixtureGenesis(Genesis):
    """A genesis whose header the fixture gives, but for the state root, which must come out right."""

    def __init__(self, rules: Rules, alloc: Mapping[Address, GenesisAccount], block: Block) -> None:
        super().__init__(rules, alloc)
        object.__setattr__(self, "_block", block)

    __slots__ = ("_block",)

    def header(self, state_root: Hash32) -> Any:
        block: Block = self._block  # type: ignore[attr-defined]
        return block.header.replace(state_root=state_root)

