"""Calls: run a message on some state and keep nothing (eth_call, eth_estimateGas, eth_createAccessList).

A call is a transaction without signature, nonce check and block: the same executor runs it. What differs follows geth:

* With no fee offered GASPRICE and BASEFEE are 0 and the sender needs no funds for gas; with a fee it does.
* The sender may have code (EIP-3607 is not enforced); its nonce is raised, but never compared.
* State and block overrides come before, as if a transaction of their own had made them.
* It ends within milliseconds when its StopSignal asks for it: the code looks at it in each frame and every few thousand
  opcodes. A single precompile call is never interrupted; gas bounds it.

`StateView` is made once per state and environment, and keeps the accounts, slots and code that calls read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from eth.exceptions import Revert

from dmchain.chain.executor import BlockEnvironment
from dmchain.chain.primitives.crypto import EMPTY_CODE_HASH
from dmchain.chain.primitives.errors import (
    BlobError,
    CreateNotAllowed,
    InsufficientFunds,
    TransactionTypeNotSupported,
)
from dmchain.chain.primitives.transaction import (
    DYNAMIC_FEE,
    GAS_TRANSACTION,
    AccessList,
    compute_gas_due,
)
from dmchain.chain.primitives.types import UINT64_MAX, ZERO_HASH, Address
from dmchain.chain.rules import GAS_PER_BLOB, Rules
from dmchain.chain.store.kv import Reader
from dmchain.marketplace_vm.call_types import (
    AccessListResult,
    BlockOverrides,
    CallMessage,
    CallResult,
    StateOverrides,
)
from dmchain.marketplace_vm.executor import BlockRun, CallOutcome, validate_fees, validate_gas
from dmchain.marketplace_vm.halts import REVERTED, Explainer, RunTooLong, halt_reason, needs_a_look
from dmchain.marketplace_vm.overrides import apply_state_overrides, override_environment, with_precompiles
from dmchain.marketplace_vm.state import NO_ACCOUNT, CodeCache, FlatState
from dmchain.marketplace_vm.vm import NEVER_STOP, StopSignal

MAX_KEPT_ENTRIES = 200_000
"""Accounts and slots that one idle state may remember before it is thrown away."""


class AccessRecorder(dict[Any, bool]):
    """A warm set (EIP-2929) that remembers what was looked up in it, reverted frames included."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[Any, bool] = {}

    def __contains__(self, key: object) -> bool:
        self.seen[key] = True
        return super().__contains__(key)


# -- one call ----------------------------------------------------------------------------------------------------------
class PreparedCall:
    """A call that can be run again and again with different gas limits, each time from the same state.

    Has the fields that the executor reads of a transaction; `price` is wei per gas. Belongs to one thread.
    """

    type = DYNAMIC_FEE

    def __init__(self, block: BlockRun, message: CallMessage, gas_cap: int) -> None:
        """Raises InvalidTransaction for what no gas limit can mend."""
        self._block = block
        self._flat = block.flat
        self.sender = message.sender
        self.to = message.to
        self.data = message.data
        self.value = message.value
        self.authorization_list = message.authorization_list
        self.blob_versioned_hashes = message.blob_versioned_hashes
        self.max_fee_per_gas = message.max_fee_per_gas or 0
        self.max_priority_fee_per_gas = message.max_priority_fee_per_gas or 0
        self.max_fee_per_blob_gas = message.max_fee_per_blob_gas or 0
        self.set_access_list(message.access_list)
        self._account = self._flat.account(self.sender) or NO_ACCOUNT
        self.nonce = self._account[0] if message.nonce is None else message.nonce
        self._wanted_gas = message.gas
        self._gas_cap = gas_cap
        self._check_form()
        base_fee = block.environment.base_fee
        if self.max_fee_per_gas or self.max_priority_fee_per_gas:
            validate_fees(self, base_fee)  # type: ignore[arg-type]
            self.price = min(self.max_fee_per_gas, base_fee + self.max_priority_fee_per_gas)
        else:
            self.price = 0
        self.gas = self.default_gas()

    def _check_form(self) -> None:
        if self.authorization_list and not self.to:
            raise CreateNotAllowed("set code transaction of type create")
        if self.blob_versioned_hashes:
            if not self._block.rules.blobs:
                raise TransactionTypeNotSupported("transaction type not supported: blob transactions (type 3)")
            if not self.to:
                raise CreateNotAllowed("blob transaction of type create")
            blob_fee = self._block.environment.blob_base_fee
            if 0 < self.max_fee_per_blob_gas < blob_fee:
                raise BlobError(
                    "max fee per blob gas less than block blob gas fee: "
                    f"maxFeePerBlobGas: {self.max_fee_per_blob_gas}, blobGasFee: {blob_fee}"
                )

    def set_access_list(self, access_list: AccessList) -> None:
        self.access_list = access_list
        self.intrinsic_gas, self.floor_gas = compute_gas_due(
            self.to, self.data, access_list, len(self.authorization_list)
        )

    # -- gas limits ----------------------------------------------------------------------------------------------
    def default_gas(self) -> int:
        """The gas limit of a plain call: what was asked for, within the cap and the sender's means."""
        if self._wanted_gas is not None:
            return min(self._wanted_gas, self._gas_cap)
        return self._within_means(self._gas_cap)

    def highest_gas(self) -> int:
        """Where an estimate begins: the limit asked for or else the block's, within the caps and the sender's means.

        Raises InsufficientFunds when there is a fee to pay and the value alone is too much.
        """
        wanted = self._wanted_gas
        gas = self._block.environment.gas_limit if wanted is None or wanted < GAS_TRANSACTION else wanted
        cap = self._block.rules.transaction_gas_cap(self._block.environment.timestamp)
        if cap is not None:
            gas = min(gas, cap)
        gas = min(gas, self._gas_cap)
        if self.max_fee_per_gas and self.value > self._account[1]:
            raise InsufficientFunds("insufficient funds for transfer")
        return self._within_means(gas)

    def _within_means(self, gas: int) -> int:
        if not self.max_fee_per_gas:
            return gas
        return max(min(gas, (self._account[1] - self.value) // self.max_fee_per_gas), 0)

    @property
    def is_plain_transfer(self) -> bool:
        """Whether it runs no code at all."""
        return (
            bool(self.to)
            and not self.data
            and not self.authorization_list
            and self._flat.get_code_hash(self.to) == EMPTY_CODE_HASH
            and self.to not in self._block.computation_class._precompiles
        )

    # -- running -------------------------------------------------------------------------------------------------
    def run(self, gas: int) -> CallResult:
        """Run with this gas limit, and undo it. Raises InvalidTransaction when it cannot start with it."""
        mark = self._flat.record()
        outcome = self.execute(gas)
        result = to_result(outcome)
        self._undo(mark)
        if outcome.error is not None and needs_a_look(outcome.error):
            return self._explained(gas, result)
        return result

    def _explained(self, gas: int, result: CallResult) -> CallResult:
        """The same result with the reason in full, if that is soon found."""
        mark = self._flat.record()
        self._block.state.tracer = Explainer()
        try:
            return to_result(self.execute(gas))
        except RunTooLong:
            return result
        finally:
            self._block.state.tracer = None
            self._undo(mark)

    def _undo(self, mark: int) -> None:
        self._flat.discard(mark)
        self._flat.warm.clear()
        self._flat.orig.clear()

    def execute(self, gas: int) -> CallOutcome:
        """Run, and leave the state as it is then: sender charged for `gas`, nothing given back."""
        self.gas = gas
        validate_gas(self)  # type: ignore[arg-type]
        nonce, balance, code_hash, root = self._account
        blob_gas = GAS_PER_BLOB * len(self.blob_versioned_hashes)
        cost = gas * self.max_fee_per_gas + self.value + blob_gas * self.max_fee_per_blob_gas
        if balance < cost:
            raise InsufficientFunds(
                f"insufficient funds for gas * price + value: address 0x{self.sender.hex()} have {balance} want {cost}"
            )
        fee = gas * self.price
        if blob_gas and self.max_fee_per_blob_gas:
            fee += blob_gas * self._block.environment.blob_base_fee
        flat = self._flat
        flat.account(self.sender)
        flat.put_account(self.sender, (min(nonce + 1, UINT64_MAX), balance - fee, code_hash, root))
        return self._block.run_message(self, self.sender, self.price, self.nonce)


def to_result(outcome: CallOutcome) -> CallResult:
    error = outcome.error
    if error is None:
        return CallResult(
            outcome.output,
            outcome.gas_used,
            logs=outcome.logs,
            gas_refunded=outcome.gas_refunded,
            contract_address=outcome.contract_address,
        )
    if isinstance(error, Revert):
        return CallResult(outcome.output, outcome.gas_used, REVERTED, outcome.output)
    return CallResult(b"", outcome.gas_used, halt_reason(error))


# -- the state that calls run on ---------------------------------------------------------------------------------------
class _Idle:
    """A state that waits for the next call, with the executors that run on it."""

    __slots__ = ("charged", "flat", "free")

    def __init__(self, flat: FlatState) -> None:
        self.flat = flat
        self.free: BlockRun | None = None
        self.charged: BlockRun | None = None


class StateView:
    """One state and the environment of one block, for any number of calls from any threads.

    `reader` must not change any more: a snapshot, or a height of history.
    """

    def __init__(
        self, rules: Rules, reader: Reader, environment: BlockEnvironment, *, codes: CodeCache | None = None
    ) -> None:
        self.rules = rules
        self.reader = reader
        self.environment = environment
        self._free_environment = replace(environment, base_fee=0)
        self._codes = codes or CodeCache()
        self._idle: list[_Idle] = []

    def call(
        self,
        message: CallMessage,
        *,
        gas_cap: int,
        stop: StopSignal = NEVER_STOP,
        state_overrides: StateOverrides | None = None,
        block_overrides: BlockOverrides | None = None,
    ) -> CallResult:
        """Run `message` with at most `gas_cap` gas.

        Raises InvalidTransaction when it cannot even start, InvalidOverride, and ExecutionStopped when `stop` asked.
        """
        with self.prepare(
            message, gas_cap=gas_cap, stop=stop, state_overrides=state_overrides, block_overrides=block_overrides
        ) as prepared:
            return prepared.run(prepared.gas)

    @contextmanager
    def prepare(
        self,
        message: CallMessage,
        *,
        gas_cap: int,
        stop: StopSignal = NEVER_STOP,
        state_overrides: StateOverrides | None = None,
        block_overrides: BlockOverrides | None = None,
    ) -> Iterator[PreparedCall]:
        """The call, ready to run with one gas limit after the other: what an estimate needs."""
        try:
            idle = self._idle.pop()
        except IndexError:
            idle = _Idle(FlatState(self.reader, codes=self._codes))
        if state_overrides or block_overrides:
            block = self._overridden(idle.flat, message, state_overrides or {}, block_overrides)
        else:
            block = self._plain(idle, message)
        block.state.stop = stop
        try:
            yield PreparedCall(block, message, gas_cap)
        finally:
            block.state.stop = NEVER_STOP
            self._give_back(idle)

    def _plain(self, idle: _Idle, message: CallMessage) -> BlockRun:
        if message.max_fee_per_gas or message.max_priority_fee_per_gas:
            if idle.charged is None:
                idle.charged = self._block_run(idle.flat, self.environment)
            return idle.charged
        if idle.free is None:
            idle.free = self._block_run(idle.flat, self._free_environment)
        return idle.free

    def _block_run(self, flat: FlatState, environment: BlockEnvironment) -> BlockRun:
        return BlockRun(self.rules, flat, environment, ZERO_HASH, system_calls=False)

    def _overridden(
        self,
        flat: FlatState,
        message: CallMessage,
        state_overrides: StateOverrides,
        block_overrides: BlockOverrides | None,
    ) -> BlockRun:
        environment = override_environment(self.environment, block_overrides)
        if not message.max_fee_per_gas and not message.max_priority_fee_per_gas:
            environment = replace(environment, base_fee=0)
        block = self._block_run(flat, environment)
        if state_overrides:
            precompiles = dict(block.computation_class._precompiles)
            before = len(precompiles)
            apply_state_overrides(flat, state_overrides, precompiles)
            if len(precompiles) != before or any(account.move_precompile_to for account in state_overrides.values()):
                block.use_computation_class(with_precompiles(block.computation_class, precompiles))
        return block

    def _give_back(self, idle: _Idle) -> None:
        flat = idle.flat
        if flat.wiped:
            return  # zeros were read of storage that is there
        flat.rewind()
        if len(flat.acc) + len(flat.sto) <= MAX_KEPT_ENTRIES:
            self._idle.append(idle)

    def detached(
        self,
        message: CallMessage,
        stop: StopSignal = NEVER_STOP,
        state_overrides: StateOverrides | None = None,
        block_overrides: BlockOverrides | None = None,
    ) -> tuple[BlockRun, AccessRecorder]:
        """An executor on a state of its own, which nobody uses again, and the recorder of what it accesses."""
        flat = FlatState(self.reader, codes=self._codes)
        flat.warm = recorder = AccessRecorder()
        block = self._overridden(flat, message, state_overrides or {}, block_overrides)
        block.state.stop = stop
        return block, recorder

    def create_access_list(
        self,
        message: CallMessage,
        *,
        gas_cap: int,
        stop: StopSignal = NEVER_STOP,
        state_overrides: StateOverrides | None = None,
        block_overrides: BlockOverrides | None = None,
    ) -> AccessListResult:
        """Find the access list that saves most: run with what the run before touched until nothing new comes up."""
        block, recorder = self.detached(message, stop, state_overrides, block_overrides)
        prepared = PreparedCall(block, message, gas_cap)
        found = merge_access_list(message.access_list, (), frozenset(), frozenset())
        while True:
            recorder.seen.clear()
            result, created = _run_recorded(prepared)
            wider = merge_access_list(found, recorder.seen, _not_listed(prepared), created)
            if wider == found:
                return AccessListResult(found, result.gas_used, result.error)
            found = wider
            prepared.set_access_list(found)


def _run_recorded(prepared: PreparedCall) -> tuple[CallResult, frozenset[bytes]]:
    """Run once; also return the contracts that came into being."""
    mark = prepared._flat.record()
    outcome = prepared.execute(prepared.gas)
    created = getattr(outcome.computation, "contracts_created", ())
    result = to_result(outcome)
    prepared._undo(mark)
    return result, frozenset(created)


def _not_listed(prepared: PreparedCall) -> frozenset[bytes]:
    """Addresses that are warm anyway."""
    block = prepared._block
    warm = {prepared.sender, prepared.to, block.environment.coinbase, *block.computation_class._precompiles}
    for entry in prepared.authorization_list:
        authority = entry.recover_authority()
        if authority is not None:
            warm.add(authority)
    return frozenset(warm)


def merge_access_list(
    known: AccessList, seen: Any, warm_anyway: frozenset[bytes], created: frozenset[bytes]
) -> AccessList:
    """`known` with the addresses and slots of `seen` after it, in the order of first access.

    Addresses that are `warm_anyway` are listed only for slots that `seen` has of them. Contracts that the call itself
    created are left out: their slots would have to be very many to save anything.
    """
    merged: dict[bytes, dict[int, bool]] = {}
    for address, slots in known:
        merged.setdefault(address, {}).update(dict.fromkeys(slots, True))
    for key in seen:
        if isinstance(key, tuple):
            if key[0] not in created:
                merged.setdefault(key[0], {})[key[1]] = True
        elif key not in warm_anyway and key not in created:
            merged.setdefault(key, {})
    return tuple((Address(address), tuple(slots)) for address, slots in merged.items())
