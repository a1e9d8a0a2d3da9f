"""A chain in this process, on the node's own engine: deploy, call, travel in time, go back.

Transactions cost no fee, so that balances change by values alone, and each is a block of its own at the time the chain
shows: time stands still unless a test moves it. The native precompiles are there as in any genesis.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from eth.constants import CREATE_CONTRACT_ADDRESS

from dmchain.chain.executor import BlockEnvironment
from dmchain.chain.genesis import GenesisAccount
from dmchain.chain.genesis_staking import GenesisStaking, make_storage
from dmchain.chain.primitives.block import EMPTY_TRIE_ROOT
from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.transaction import DYNAMIC_FEE, compute_gas_due
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.rules import Rules
from dmchain.chain.staking import STAKING
from dmchain.chain.store.kv import MemoryKV
from dmchain.marketplace_vm.calls import to_result
from dmchain.marketplace_vm.executor import BlockRun, CallOutcome, NativeExecutor, collect_effects
from dmchain.marketplace_vm.precompiles import artifacts
from dmchain.marketplace_vm.precompiles.genesis import make_genesis_accounts
from dmchain.marketplace_vm.precompiles.native import CONTRACTS as NATIVE_CONTRACTS
from dmchain.marketplace_vm.state import FlatState
from dmchain.marketplace_vm.vm import CancunTransactionContext, Message
from tests.contracts.codec import (
    Abi,
    Account,
    Dictionary,
    Event,
    decode_result,
    encode_arguments,
    selector_of,
    signature_of,
)
from tools.contracts.compiler import Compiled, compile_contract

CHAIN_ID = 1337
START_TIME = 1_700_000_000
FUNDS = 10**24
GAS_LIMIT = 16_777_216
"""What EIP-7825 allows one transaction."""
TEST_SOURCES = Path(__file__).parent / "sol"
RULES = Rules(CHAIN_ID, osaka_time=0)
ZERO = "0x" + "00" * 20
ACCOUNTS = tuple([Account(PrivateKey(hashlib.sha256(b"market account %d" % number).digest())) for number in range(20)])

CHAINS: weakref.WeakSet[Chain] = weakref.WeakSet()
"""All that are alive: conftest.py puts each back after every test to where it was before."""


class Reverted(Exception):
    """A call failed. `name` is that of the custom error ("" if unknown), `arguments` its values by name."""

    def __init__(self, name: str, arguments: Mapping[str, Any], data: bytes, reason: str) -> None:
        shown = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        super().__init__(f"{name}({shown})" if name else f"{reason} 0x{data.hex()}")
        self.name = name
        self.arguments = dict(arguments)
        self.data = data
        self.reason = reason


@contextmanager
def reverts(name: str | None = None, *values: Any, **named: Any) -> Iterator[None]:
    """The block must revert: with this custom error (``Panic`` and ``Error`` too) and, if given, these arguments.

    `values` are all arguments in order, `named` some of them by name. Without a name: with no data at all.
    """
    try:
        yield
    except Reverted as error:
        assert error.name == (name or ""), f"expected {name or 'no error data'}, got {error}"
        if name is None:
            assert error.data == b"", f"expected no error data, got {error}"
        if values:
            wanted = tuple(str(getattr(each, "address", each)) for each in values)
            assert tuple(str(each) for each in error.arguments.values()) == wanted, f"expected {values}, got {error}"
        for key, value in named.items():
            got = error.arguments[key]
            assert str(got) == str(getattr(value, "address", value)), f"{key}: expected {value!r}, got {error}"
        return
    raise AssertionError(f"expected a revert with {name or 'no data'}, but it succeeded")


@cache
def load(name: str) -> Compiled:
    """A contract of the package, of tests/contracts/sol, or of OpenZeppelin, compiled through the cache."""
    return compile_contract(name, (TEST_SOURCES,))


@dataclass(frozen=True)
class Receipt:
    """What a transaction did; `value` is what the function returned."""

    value: Any
    gas_used: int
    events: tuple[Event, ...]
    timestamp: int
    block_number: int

    def all(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]

    def event(self, name: str) -> Event:
        """The one event of this name."""
        found = self.all(name)
        assert len(found) == 1, f"{len(found)} {name} events among {[each.name for each in self.events]}"
        return found[0]


class _Transaction:
    """Has what the executor reads of a transaction that nobody signed."""

    type = DYNAMIC_FEE
    access_list = ()
    authorization_list = ()
    blob_versioned_hashes = ()
    max_fee_per_gas = max_priority_fee_per_gas = 0

    def __init__(self, to: bytes, data: bytes, value: int, gas: int) -> None:
        self.to, self.data, self.value, self.gas = to, data, value, gas
        self.intrinsic_gas, self.floor_gas = compute_gas_due(to, data, (), 0)


class Contract:
    """A deployed contract. `contract.name(...)` calls a view and transacts anything else.

    Options of every function: `sender`, `value` in wei, `gas`. `contract.call.name(...)` runs a transaction and keeps
    nothing. Overloaded functions: `contract["name(uint256)"](...)`.
    """

    def __init__(self, chain: Chain, address: str, abi: Abi, name: str = "") -> None:
        self.chain = chain
        self.address = address
        self.abi = abi
        self.name = name
        self._functions: dict[str, dict[str, Any]] = {}
        for item in abi:
            if item["type"] == "function":
                self._functions[signature_of(item)] = item
                self._functions.setdefault(item["name"], item)
        self.call = _Calls(self)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Callable[..., Any]:
        item = self._item(name)
        is_view = item["stateMutability"] in ("view", "pure")
        run = self.chain.call_function if is_view else self.chain.transact_function
        return lambda *values, **options: run(self, item, values, **options)

    def _item(self, name: str) -> dict[str, Any]:
        try:
            return self._functions[name]
        except KeyError:
            raise AttributeError(f"{self.name or 'contract'} has no function {name}") from None

    def data(self, name: str, *values: Any) -> bytes:
        """The calldata of a call: for timelocks, multicalls and hostile callers."""
        item = self._item(name)
        return selector_of(item) + encode_arguments(item["inputs"], values)

    def at(self, address: Any) -> Contract:
        """The same interface at another address."""
        return Contract(self.chain, getattr(address, "address", address), self.abi, self.name)

    @property
    def balance(self) -> int:
        return self.chain.balance(self.address)

    def __repr__(self) -> str:
        return f"<{self.name or 'contract'} {self.address}>"


class _Calls:
    """`contract.call.name(...)`."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def __getattr__(self, name: str) -> Callable[..., Any]:
        contract = self._contract
        item = contract._item(name)
        return lambda *values, **options: contract.chain.call_function(contract, item, values, **options)


class Chain:
    """See the module. `admin` (the first account) sends whatever names no sender; `accounts` have 10^24 wei each."""

    def __init__(
        self,
        *,
        governance: Any = None,
        staking: GenesisStaking | None = None,
        alloc: Mapping[Address, GenesisAccount] | None = None,
        chain_id: int = CHAIN_ID,
    ) -> None:
        """`governance` of the registry; `staking` of the native contract, which is off without; `alloc` more accounts."""
        self.accounts = ACCOUNTS
        self.admin = ACCOUNTS[0]
        self.timestamp = START_TIME
        self.block_number = 1
        self.randao: bytes | None = None
        """prevRandao of the blocks from now on; None: another one in each block, made from its number."""
        self.block_hashes: dict[int, bytes] = {}
        """What BLOCKHASH says of these blocks, instead of a hash made from the number."""
        self.gas = GAS_LIMIT
        self.dictionary = Dictionary()
        self._rules = replace(RULES, chain_id=chain_id)
        self._flat = self._genesis(governance, staking, alloc or {})
        self._history: list[tuple[dict[Any, Any], Any, Any]] = []
        self._kept = (self._flat.acc, self._flat.sto, self._flat.wiped)
        natives = {native.name: native for native in NATIVE_CONTRACTS}
        self.registry, self.ledger, self.staking = [
            self.contract(natives[name].address, artifacts.make_abi(natives[name]), name)
            for name in ("ICidRegistry", "ILicenseLedger", "IStaking")
        ]
        CHAINS.add(self)

    def _genesis(
        self, governance: Any, staking: GenesisStaking | None, more: Mapping[Address, GenesisAccount]
    ) -> FlatState:
        alloc = {account.key.address: GenesisAccount(FUNDS) for account in ACCOUNTS}
        owner = None if governance is None else Address(to_bytes(governance))
        for address, native in make_genesis_accounts(owner).items():
            alloc[address] = GenesisAccount(0, 1, native.code, tuple(native.storage.items()))
        if staking is not None:
            stub = alloc[STAKING].code
            alloc[STAKING] = GenesisAccount(staking.balance, 1, stub, tuple(make_storage(staking, START_TIME)))
        alloc.update(more)
        store = MemoryKV()
        executor = NativeExecutor(self._rules)
        store.write(executor.create(alloc).writes, sync=False)
        return FlatState(store, codes=executor.codes)

    # -- time and going back -------------------------------------------------------------------------------------
    def sleep(self, seconds: int) -> int:
        """Move the clock; returns the time of the next block."""
        self.timestamp += seconds
        return self.timestamp

    def snapshot(self) -> Any:
        return len(self._history), self.timestamp, self.block_number, self.randao

    def restore(self, snapshot: Any) -> None:
        """Back to where `snapshot` was taken; may be done any number of times."""
        mark, self.timestamp, self.block_number, self.randao = snapshot
        while len(self._history) > mark:
            target, key, value = self._history.pop()
            target[key] = value

    @contextmanager
    def reverted_after(self) -> Iterator[None]:
        mark = self.snapshot()
        try:
            yield
        finally:
            self.restore(mark)

    # -- accounts ------------------------------------------------------------------------------------------------
    def balance(self, account: Any) -> int:
        return self._flat.get_balance(to_bytes(account))

    def set_balance(self, account: Any, balance_wei: int) -> None:
        self._flat.set_balance(to_bytes(account), balance_wei)
        self._keep()

    def code(self, account: Any) -> bytes:
        return self._flat.get_code(to_bytes(account))

    def storage(self, account: Any, slot: int) -> int:
        return self._flat.get_storage(to_bytes(account), slot)

    def set_storage(self, account: Any, slot: int, value: int) -> None:
        self._flat.set_storage(to_bytes(account), slot, value)
        self._keep()

    # -- contracts -----------------------------------------------------------------------------------------------
    def contract(self, address: Any, abi: Abi | str, name: str = "") -> Contract:
        """A contract that is there already; `abi` may be the name of a contract or interface."""
        if isinstance(abi, str):
            name, abi = name or abi, load(abi).abi
        self.dictionary.learn(abi)
        return Contract(self, "0x" + to_bytes(address).hex(), abi, name)

    def deploy(
        self, name: str, *values: Any, at: Any = None, value: int = 0, sender: Any = None, gas: int | None = None
    ) -> Contract:
        """Run the constructor; `at` chooses the address, else it is what the sender's nonce gives."""
        compiled = load(name)
        assert compiled.bytecode, f"{name} is an interface or abstract"
        constructor = next((item for item in compiled.abi if item["type"] == "constructor"), {"inputs": []})
        init_code = compiled.bytecode + encode_arguments(constructor["inputs"], values)
        return self.create(init_code, compiled.abi, name, at=at, value=value, sender=sender, gas=gas)

    def create(
        self,
        init_code: bytes,
        abi: Abi,
        name: str = "",
        *,
        at: Any = None,
        value: int = 0,
        sender: Any = None,
        gas: int | None = None,
    ) -> Contract:
        """Run any init code."""
        self.dictionary.learn(abi)
        creator = to_bytes(sender or self.admin)
        if at is None:
            outcome = self._execute(creator, b"", init_code, value, gas)
            address = outcome.contract_address
            assert address is not None
        else:
            address = Address(to_bytes(at))
            outcome = self._execute(creator, b"", init_code, value, gas, at=address)
        self._flat.delete_empty_touched_accounts()
        self._keep()
        self.block_number += 1
        contract = self.contract(address, abi, name)
        self.last = self._receipt(outcome, None, self.block_number - 1)
        return contract

    def deploy_proxy(
        self, name: str, *values: Any, owner: Any = None, at: Any = None, implementation: Any = None
    ) -> Contract:
        """A TransparentUpgradeableProxy of `name` with `initialize(*values)`; the contract has the attribute `proxy_admin`.

        `owner` (the chain's admin) owns the ProxyAdmin; `implementation` is deployed if not given.
        """
        if implementation is None:
            implementation = self.deploy(name)
        abi = load(name).abi
        data = Contract(self, ZERO, abi, name).data("initialize", *values)
        proxy = self.deploy("TransparentUpgradeableProxy", implementation, owner or self.admin, data, at=at)
        found = self.contract(proxy.address, abi, name)
        slot = int.from_bytes(keccak(b"eip1967.proxy.admin"), "big") - 1
        found.proxy_admin = self.contract(self.storage(proxy, slot).to_bytes(20, "big"), "ProxyAdmin")
        return found

    # -- calls ---------------------------------------------------------------------------------------------------
    def call_function(
        self,
        contract: Contract,
        item: dict[str, Any],
        values: tuple[Any, ...],
        *,
        sender: Any = None,
        value: int = 0,
        gas: int | None = None,
    ) -> Any:
        """Run and undo."""
        data = selector_of(item) + encode_arguments(item["inputs"], values)
        try:
            outcome = self._execute(to_bytes(sender or self.admin), to_bytes(contract), data, value, gas)
        finally:
            self._flat.discard(0)
        return decode_result(item["outputs"], outcome.output)

    def transact_function(
        self,
        contract: Contract,
        item: dict[str, Any],
        values: tuple[Any, ...],
        *,
        sender: Any = None,
        value: int = 0,
        gas: int | None = None,
    ) -> Receipt:
        data = selector_of(item) + encode_arguments(item["inputs"], values)
        return self.send(contract, data, sender=sender, value=value, gas=gas, outputs=item["outputs"])

    def send(
        self,
        to: Any,
        data: bytes = b"",
        *,
        sender: Any = None,
        value: int = 0,
        gas: int | None = None,
        outputs: Any = (),
    ) -> Receipt:
        """A transaction with any calldata; raises Reverted, and then nothing has changed."""
        outcome = self._execute(to_bytes(sender or self.admin), to_bytes(to), data, value, gas)
        for address in outcome.deleted:
            self._flat.delete_account(address)
        self._flat.delete_empty_touched_accounts()
        self._keep()
        self.block_number += 1
        returned = decode_result(outputs, outcome.output) if outputs else outcome.output
        return self._receipt(outcome, returned, self.block_number - 1)

    def _receipt(self, outcome: CallOutcome, returned: Any, number: int) -> Receipt:
        events = tuple([self.dictionary.event(log) for log in outcome.logs])
        return Receipt(returned, outcome.gas_used, events, self.timestamp, number)

    def _environment(self) -> BlockEnvironment:
        number = self.block_number
        return BlockEnvironment(
            number=number,
            timestamp=self.timestamp,
            coinbase=Address(b"\xc0" * 20),
            gas_limit=30_000_000,
            base_fee=0,
            prev_randao=Hash32(self.randao or keccak(b"randao %d" % number)),
            parent_hash=Hash32(keccak(b"block %d" % (number - 1))),
            parent_beacon_block_root=Hash32(bytes(32)),
            block_hash=lambda number: Hash32(self.block_hashes.get(number) or keccak(b"block %d" % number)),
        )

    def _execute(
        self, sender: bytes, to: bytes, data: bytes, value: int, gas: int | None, at: Address | None = None
    ) -> CallOutcome:
        """Run one message in a block of its own; leaves its changes in the journal, or raises Reverted without any."""
        flat = self._flat
        flat.lock_changes()
        block = BlockRun(self._rules, flat, self._environment(), Hash32(EMPTY_TRIE_ROOT), system_calls=False)
        transaction = _Transaction(to, data, value, gas or self.gas)
        nonce = flat.get_nonce(sender)
        flat.set_nonce(sender, nonce + 1)
        if at is None:
            outcome = block.run_message(transaction, sender, 0, nonce)
        else:
            outcome = self._create_at(block, transaction, sender, at)
        if outcome.error is not None:
            flat.discard(0)
            result = to_result(outcome)
            name, arguments = self.dictionary.error(result.output)
            raise Reverted(name, arguments, result.output, result.error or "")
        return outcome

    @staticmethod
    def _create_at(block: BlockRun, transaction: _Transaction, sender: bytes, at: Address) -> CallOutcome:
        flat = block.flat
        flat.warm[sender] = flat.warm[at] = True
        assert not flat.account_has_code_or_nonce(at), f"0x{at.hex()} is taken"
        message = Message(
            gas=transaction.gas - transaction.intrinsic_gas,
            to=CREATE_CONTRACT_ADDRESS,
            sender=sender,
            value=transaction.value,
            data=b"",
            code=transaction.data,
            create_address=at,
        )
        context = CancunTransactionContext(gas_price=0, origin=sender, blob_versioned_hashes=())
        computation = block.computation_class.apply_create_message(block.state, message, context)
        logs, _, deleted = collect_effects(computation)
        used = transaction.gas - computation.get_gas_remaining()
        return CallOutcome(used, 0, computation, computation.output, computation._error, logs, at, deleted)

    def _keep(self) -> None:
        """The changes of this transaction become undoable history."""
        accounts, storage, wiped = self._kept
        for target, key, value in self._flat.journal:
            if target is accounts or target is storage:
                self._history.append((target, key, value))
            else:
                assert target is not wiped, "a contract with storage destroyed itself: not supported here"
        self._flat.journal.clear()


def to_bytes(address: Any) -> bytes:
    """20 bytes of an address given as text, bytes, number, account or contract."""
    address = getattr(address, "address", address)
    if isinstance(address, str):
        return bytes.fromhex(address[2:])
    if isinstance(address, int):
        return address.to_bytes(20, "big")
    return bytes(address)
