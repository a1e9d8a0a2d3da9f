"""The engine of `--engine reference`: py-evm's own transaction executor, loop, opcodes and pure-Python precompiles.

It shares the flat state, the system calls and the native precompiles with the native engine, and nothing else that
executes: no short path for transfers, no lean computations, no translation, no fast cryptography. The same chain must
give the same roots, receipts and database, block by block; it takes ten to fifty times as long.

py-evm leaves rules to others or differs from the EIPs in these places, mended here:

| rule                                                                            | mended in                       |
|---------------------------------------------------------------------------------|---------------------------------|
| chain id, tip above the cap, max-fee cost, EIP-2681, 3607, 3860, 7623, 7825     | `ReferenceState.validate_rules` |
| an account with storage collides with a creation (EIP-7610)                     | `FlatState`                     |
| the outermost frame is the one at depth 0, not the one whose sender is the      | `ReferenceComputation`          |
| origin: an EIP-7702 account is both                                             |                                 |
| a delegation to a precompile runs nothing, even where the address holds code    | `ReferenceTransactionExecutor`  |
| gas used when the floor of EIP-7623 meets a refund                              | `ReferenceRun._gas_used`        |
| MODEXP with a base of length 0; the trusted setup is read once                  | `_modexp`, `_point_evaluation`  |
| opcodes and precompiles of Osaka                                                | `OsakaReferenceComputation`     |
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator, Sequence
from typing import Any

from eth._utils.address import generate_contract_address
from eth._utils.padding import zpad_left, zpad_right
from eth._utils.state import code_is_delegation_designation
from eth.exceptions import PyEVMError
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.prague.state import PragueState, PragueTransactionExecutor
from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from eth_utils.exceptions import ValidationError

from dmchain.chain.executor import BlockEnvironment, BlockExecution, Outcome
from dmchain.chain.primitives.block import EMPTY_BLOOM, EMPTY_REQUESTS_HASH, Log, Receipt, Withdrawal, compute_bloom
from dmchain.chain.primitives.errors import InvalidTransaction
from dmchain.chain.primitives.transaction import BLOB, Transaction
from dmchain.chain.primitives.types import UINT64_MAX, Address, Hash32
from dmchain.chain.rules import GAS_PER_BLOB, MAX_BLOB_GAS, MAX_INITCODE_BYTES, Rules
from dmchain.chain.staking.facts import Notice
from dmchain.chain.store.kv import Reader
from dmchain.marketplace_vm.crypto_precompiles import OSAKA_PRECOMPILES
from dmchain.marketplace_vm.executor import GWEI, NativeExecutor
from dmchain.marketplace_vm.precompiles.native import PRECOMPILES as NATIVE_PRECOMPILES
from dmchain.marketplace_vm.state import FlatState
from dmchain.marketplace_vm.system import begin_block, collect_requests, compute_requests_hash, end_block
from dmchain.marketplace_vm.vm import NEVER_STOP, OSAKA_OPCODES

_TOKENS_PER_NONZERO_BYTE = 4
_FLOOR_GAS_PER_TOKEN = 10
_GAS_TRANSACTION = 21_000
_GAS_INITCODE_WORD = 2


# -- precompiles -------------------------------------------------------------------------------------------------------
def _address(number: int) -> Any:
    return number.to_bytes(20, "big")


_modexp_module: Any = importlib.import_module(
    "eth.precompiles.modexp"
)  # the package re-exports a function of that name
_plain_modexp = PragueComputation.get_precompiles()[_address(5)]


def _modexp(computation: Any) -> Any:
    """EIP-198: a base of length 0 is the number 0, and 0 ** 0 is 1."""
    data = computation.msg.data_as_bytes
    _plain_modexp(computation)
    base_size, exponent_size, modulus_size = _modexp_module.extract_lengths(data)
    if base_size == 0 and modulus_size > 0:
        exponent = int.from_bytes(zpad_right(data[96 : 96 + exponent_size], to_size=exponent_size), "big")
        at = 96 + exponent_size
        modulus = int.from_bytes(zpad_right(data[at : at + modulus_size], to_size=modulus_size), "big")
        value = pow(0, exponent, modulus) if modulus else 0
        computation.output = zpad_left(value.to_bytes((value.bit_length() + 7) // 8, "big"), to_size=modulus_size)
    return computation


_point_evaluation: Any = importlib.import_module("eth.precompiles.point_evaluation")
# py-evm reads 4 MB of trusted setup at every call
_point_evaluation.load_trusted_setup = functools.lru_cache(maxsize=None)(_point_evaluation.load_trusted_setup)


def _pure_bls() -> dict[bytes, Any]:
    """py-evm's own functions, by their full names: the package may hold stand-ins (`lean_imports`)."""
    package = "eth.precompiles.bls12_381"
    g1, g2, pairing = [importlib.import_module(f"{package}.bls12_381_{name}") for name in ("g1", "g2", "pairing")]
    functions = (
        g1.bls12_g1_add, g1.bls12_g1_msm, g2.bls12_g2_add, g2.bls12_g2_msm, pairing.bls12_pairing_check,
        g1.bls12_map_fp_to_g1, g2.bls12_map_fp2_to_g2,
    )  # fmt: skip
    return {_address(0x0B + index): function for index, function in enumerate(functions)}


# -- py-evm, configured ------------------------------------------------------------------------------------------------
class ReferenceComputation(PragueComputation):
    """py-evm's computation, loop and all."""

    _precompiles = {
        **PragueComputation.get_precompiles(),
        **_pure_bls(),
        _address(5): _modexp,
        **NATIVE_PRECOMPILES,
    }

    @property
    def is_origin_computation(self) -> bool:
        return bool(self.msg.depth == 0)


class OsakaReferenceComputation(ReferenceComputation):
    """CLZ, P256VERIFY and the new MODEXP are the native engine's: py-evm has none."""

    opcodes = OSAKA_OPCODES
    _precompiles = {**ReferenceComputation._precompiles, **OSAKA_PRECOMPILES}


class ReferenceTransactionExecutor(PragueTransactionExecutor):
    """py-evm's transaction executor."""

    def validate_transaction(self, transaction: Any) -> None:
        """Before anything changes. Form and signature were checked by our decoder."""
        self.vm_state.validate_transaction(transaction)

    def get_code_at_address(self, code_address: Any) -> Any:
        code, target = super().get_code_at_address(code_address)
        if target in self.vm_state.computation_class.get_precompiles():
            return b"", target
        return code, target


class ReferenceState(PragueState):
    """py-evm's state over an account database: `MarkedFlatState` here, py-evm's tries in tests."""

    computation_class = ReferenceComputation
    transaction_executor_class = ReferenceTransactionExecutor
    tracer = None
    stop = NEVER_STOP

    def __init__(self, accounts: Any, environment: BlockEnvironment, rules: Rules) -> None:
        self._account_db = accounts
        self.rules = rules
        self.environment = environment
        context: Any = ExecutionContext
        self.execution_context = context(
            coinbase=environment.coinbase,
            timestamp=environment.timestamp,
            block_number=environment.number,
            difficulty=0,
            mix_hash=environment.prev_randao,
            gas_limit=environment.gas_limit,
            prev_hashes=_ancestor_hashes(environment),
            chain_id=rules.chain_id,
            base_fee_per_gas=environment.base_fee,
            excess_blob_gas=environment.excess_blob_gas,
        )
        if rules.is_osaka(environment.timestamp):
            self.computation_class = OsakaReferenceComputation
        self.gas_used = 0
        self.blob_gas_used = 0

    @property
    def flat(self) -> Any:
        return self._account_db

    @property
    def blob_base_fee(self) -> int:
        return self.environment.blob_base_fee

    def validate_transaction(self, transaction: Any) -> None:
        """Raises InvalidTransaction; nothing has changed by then."""
        self.validate_rules(transaction)
        try:
            super().validate_transaction(transaction)
        except (ValidationError, PyEVMError) as error:
            raise InvalidTransaction(str(error)) from error

    def validate_rules(self, tx: Any) -> None:
        """What py-evm leaves to others, each rule in the words of its EIP."""
        chain_id = getattr(tx, "chain_id", None)
        cap = self.rules.transaction_gas_cap(self.timestamp)
        creates = not tx.to
        cost = tx.gas * tx.max_fee_per_gas + tx.value
        need = tx.intrinsic_gas
        if creates:
            need += _GAS_INITCODE_WORD * ((len(tx.data) + 31) // 32)
        zeros = tx.data.count(0)
        tokens = zeros + _TOKENS_PER_NONZERO_BYTE * (len(tx.data) - zeros)
        floor = _GAS_TRANSACTION + _FLOOR_GAS_PER_TOKEN * tokens
        code = self.get_code(tx.sender)
        blob_gas = 0
        if tx.type_id == BLOB:
            blob_gas = GAS_PER_BLOB * len(tx.blob_versioned_hashes)
            cost += blob_gas * tx.max_fee_per_blob_gas
            if not self.rules.blobs or creates:
                raise InvalidTransaction("blob transaction: not on this chain, or without recipient (EIP-4844)")
        checks = (
            (chain_id is None or chain_id == self.rules.chain_id, "chain id (EIP-155)"),
            (cap is None or tx.gas <= cap, "gas cap of a transaction (EIP-7825)"),
            (self.gas_used + tx.gas <= self.gas_limit, "gas left in the block"),
            (self.blob_gas_used + blob_gas <= MAX_BLOB_GAS, "blob gas left in the block (EIP-7691)"),
            (tx.nonce < UINT64_MAX, "nonce below 2**64 - 1 (EIP-2681)"),
            (not code or code_is_delegation_designation(code), "sender without code (EIP-3607)"),
            (tx.max_priority_fee_per_gas <= tx.max_fee_per_gas, "tip within the fee cap (EIP-1559)"),
            (not creates or len(tx.data) <= MAX_INITCODE_BYTES, "size of initcode (EIP-3860)"),
            (self.get_balance(tx.sender) >= cost, "balance for the most it may cost (EIP-1559)"),
            (tx.gas >= need, "intrinsic gas"),
            (tx.gas >= floor, "floor gas (EIP-7623)"),
        )
        for holds, rule in checks:
            if not holds:
                raise InvalidTransaction(f"transaction breaks the rule: {rule}")


def _ancestor_hashes(environment: BlockEnvironment) -> Iterator[bytes]:
    for number in range(environment.number - 1, max(environment.number - 257, -1), -1):
        digest = environment.block_hash(number)
        if digest is None:
            return
        yield digest


# -- on the flat state -------------------------------------------------------------------------------------------------
class _Mark:
    """A checkpoint; py-evm's transient storage wants each to differ from all others."""

    __slots__ = ("position",)

    def __init__(self, position: int) -> None:
        self.position = position


class MarkedFlatState(FlatState):
    """The flat state with py-evm's kind of checkpoints."""

    def record(self) -> Any:
        return _Mark(super().record())

    def discard(self, checkpoint: Any) -> None:
        super().discard(checkpoint.position if isinstance(checkpoint, _Mark) else checkpoint)


class ReferenceRun:
    """One block under way."""

    def __init__(self, state: ReferenceState, parent_state_root: Hash32, *, system_calls: bool) -> None:
        self.state = state
        self.rules = state.rules
        self.gas_used = 0
        self.receipts: list[Receipt] = []
        self._parent_state_root = parent_state_root
        self._system_calls = system_calls
        self._notices: tuple[Notice, ...] = ()
        if system_calls:
            self._notices = begin_block(state, state.computation_class, state.environment)

    def apply(self, transaction: Transaction) -> Receipt:
        """Run one transaction. Raises InvalidTransaction, and then nothing has changed."""
        state = self.state
        tx: Any = PragueTransactionBuilder.decode(transaction.raw)
        # py-evm would recover the sender in pure Python, and a devnet may have set it (impersonation)
        tx.__dict__["sender"] = transaction.sender
        state.lock_changes()
        computation = state.apply_transaction(tx)
        gas_used = self._gas_used(tx, computation)
        self.gas_used = state.gas_used = state.gas_used + gas_used
        state.blob_gas_used += GAS_PER_BLOB * len(transaction.blob_versioned_hashes)
        logs = tuple(
            Log(Address(address), tuple([topic.to_bytes(32, "big") for topic in topics]), bytes(data))
            for address, topics, data in computation.get_log_entries()
        )
        contract = None
        if not transaction.to:
            make_address: Any = generate_contract_address
            contract = Address(make_address(transaction.sender, transaction.nonce))
        receipt = Receipt(
            transaction.type,
            1 if computation.is_success else 0,
            state.gas_used,
            compute_bloom(logs) if logs else EMPTY_BLOOM,
            logs,
            gas_used,
            state.get_gas_price(tx),
            contract,
        )
        self.receipts.append(receipt)
        return receipt

    @staticmethod
    def _gas_used(tx: Any, computation: Any) -> int:
        """What the sender was charged for: py-evm's receipts apply the refund's cap to the floor as well."""
        used = tx.gas - computation.get_gas_remaining()
        refund = ReferenceTransactionExecutor.calculate_gas_refund(computation, used)
        return int(used - refund + computation.data_floor_gas)

    def finish(self, withdrawals: Sequence[Withdrawal]) -> Outcome:
        state: Any = self.state
        state.lock_changes()
        for withdrawal in withdrawals:
            state.delta_balance(withdrawal.address, withdrawal.amount * GWEI)
            if state.account_is_empty(withdrawal.address):
                state.delete_account(withdrawal.address)
        if self._system_calls:
            self._notices += end_block(state, state.environment)
        requests_hash = EMPTY_REQUESTS_HASH
        if self.rules.requests:
            requests = collect_requests(state, state.computation_class, self.receipts)
            requests_hash = compute_requests_hash(requests)
        changes = state.flat.compute_changes(self._parent_state_root)
        return Outcome(
            changes, tuple(self.receipts), state.gas_used, state.blob_gas_used, requests_hash, self._notices
        )


class ReferenceExecutor(NativeExecutor):
    """Implements chain.executor.Executor with py-evm's own rules; knows nothing from one block to the next."""

    name = "reference"

    def begin(
        self,
        reader: Reader,
        parent_state_root: Hash32,
        environment: BlockEnvironment,
        *,
        system_calls: bool = True,
    ) -> BlockExecution:
        flat = MarkedFlatState(reader, codes=self.codes)
        state = ReferenceState(flat, environment, self.rules)
        return ReferenceRun(state, parent_state_root, system_calls=system_calls)

    def committed(self, changes: Any) -> None:
        pass
