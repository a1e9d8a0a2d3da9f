"""The block executor: transactions in, receipts, roots and database writes out.

Replaces py-evm's VM.apply_transaction, header copies and chain classes. Every rule is checked before anything changes
(`validate_transaction`), plain transfers take a short path, roots are computed once a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth._utils.address import generate_contract_address
from eth.constants import CREATE_CONTRACT_ADDRESS
from eth.exceptions import ContractCreationCollision

from dmchain.chain.executor import AccountEdit, BlockEnvironment, BlockExecution, Outcome, StateChanges
from dmchain.chain.genesis import GenesisAccount
from dmchain.chain.primitives.block import (
    EMPTY_BLOOM,
    EMPTY_REQUESTS_HASH,
    EMPTY_TRIE_ROOT,
    Log,
    Receipt,
    Withdrawal,
    compute_bloom,
)
from dmchain.chain.primitives.crypto import EMPTY_CODE_HASH
from dmchain.chain.primitives.errors import (
    BlobError,
    FeeCapTooLow,
    FloorGasTooLow,
    GasLimitExceeded,
    InitcodeTooLarge,
    InsufficientFunds,
    IntrinsicGasTooLow,
    NonceMax,
    NonceTooHigh,
    NonceTooLow,
    SenderNotEOA,
    TipAboveFeeCap,
    TransactionTypeNotSupported,
    WrongChainId,
)
from dmchain.chain.primitives.transaction import BLOB, Transaction
from dmchain.chain.primitives.types import UINT64_MAX, Address, Hash32
from dmchain.chain.rules import GAS_PER_BLOB, MAX_BLOB_GAS, MAX_INITCODE_BYTES, Rules
from dmchain.chain.staking.facts import Notice
from dmchain.chain.store.kv import Reader
from dmchain.marketplace_vm.state import (
    NO_ACCOUNT,
    Account,
    CodeCache,
    FlatState,
    StateCache,
    restore_flat_keys,
)
from dmchain.marketplace_vm.system import begin_block, collect_requests, compute_requests_hash, end_block
from dmchain.marketplace_vm.translate import run_translated
from dmchain.marketplace_vm.vm import (
    CancunTransactionContext,
    DmComputation,
    DmState,
    Message,
    computation_class_for,
)

# the native engine runs hot code translated; the reference engine has computations of its own
DmComputation.code_runner = staticmethod(run_translated)

DELEGATION_PREFIX = b"\xef\x01\x00"
DELEGATION_BYTES = 23
REFUND_AUTHORIZATION_EXISTING = 12_500
"""EIP-7702: PER_EMPTY_ACCOUNT_COST - PER_AUTH_BASE_COST."""
MAX_REFUND_QUOTIENT = 5
VERSIONED_HASH_VERSION_KZG = 1
GWEI = 10**9


def delegation_target(code: bytes) -> bytes | None:
    """The address an account delegates to (EIP-7702), or None for any other code."""
    if len(code) == DELEGATION_BYTES and code[:3] == DELEGATION_PREFIX:
        return code[3:]
    return None


@dataclass(slots=True)
class CallOutcome:
    """One message run to its end. `gas_used` includes intrinsic gas and refunds; `error` is py-evm's exception.

    `gas_refunded` is the difference to the gas that had to be there; `deleted` the accounts that destroyed themselves.
    """

    gas_used: int
    gas_refunded: int
    computation: DmComputation | None
    output: bytes
    error: Exception | None
    logs: tuple[Log, ...]
    contract_address: Address | None
    deleted: tuple[bytes, ...] = ()


def collect_effects(computation: Any) -> tuple[tuple[Log, ...], int, tuple[bytes, ...]]:
    """(logs, gas refund, destroyed accounts) of a finished computation and of the frames in it that were not undone.

    One pass: py-evm's own collectors sort and copy at every level, which 1024 levels of calls make expensive.
    """
    entries: list[Any] = []
    deleted: list[bytes] = []
    refund = 0
    frames = [computation]
    while frames:
        frame = frames.pop()
        if frame._error is not None:
            continue
        refund += frame._gas_meter.gas_refunded
        entries += frame._log_entries
        deleted += frame.accounts_to_delete
        frames += frame.children
    entries.sort()  # by the counter that comes first
    logs = [
        Log(address, tuple([topic.to_bytes(32, "big") for topic in topics]), bytes(data))
        for _, address, topics, data in entries
    ]
    return tuple(logs), refund, tuple(sorted(set(deleted)))


class BlockRun:
    """One block under way on the native engine."""

    def __init__(
        self,
        rules: Rules,
        flat: FlatState,
        environment: BlockEnvironment,
        parent_state_root: Hash32,
        *,
        system_calls: bool = True,
    ) -> None:
        self.rules = rules
        self.environment = environment
        self.flat = flat
        self.use_computation_class(computation_class_for(rules, environment.timestamp))
        self.gas_used = 0
        self.blob_gas_used = 0
        self.receipts: list[Receipt] = []
        self._parent_state_root = parent_state_root
        self._gas_cap = rules.transaction_gas_cap(environment.timestamp)
        self._system_calls = system_calls
        self._notices: tuple[Notice, ...] = ()
        if system_calls:
            self._notices = begin_block(self.state, self.computation_class, environment)

    def use_computation_class(self, computation_class: type[DmComputation]) -> None:
        """Run with these opcodes and precompiles from now on."""
        self.computation_class = computation_class
        self.state = DmState(self.flat, self.environment, self.rules.chain_id, computation_class._precompiles)

    # -- one transaction -----------------------------------------------------------------------------------------
    def apply(self, transaction: Transaction) -> Receipt:
        """Run one transaction. Raises InvalidTransaction, and then nothing has changed."""
        self.validate_transaction(transaction)
        price = transaction.effective_gas_price(self.environment.base_fee)
        flat = self.flat
        flat.lock_changes()
        to = transaction.to
        if (
            to
            and not transaction.data
            and transaction.type <= 2
            and not transaction.access_list
            and flat.get_code_hash(to) == EMPTY_CODE_HASH
            and to not in self.computation_class._precompiles
            and self.state.tracer is None
        ):
            return self._transfer(transaction, price)
        outcome = self._run(transaction, price)
        return self.finish_transaction(transaction, price, outcome)

    def validate_transaction(self, tx: Transaction) -> Account:
        """All rules that the block and the state decide; raises a subclass of InvalidTransaction.

        Returns the sender's account. What the transaction alone decides was checked when it was decoded.
        """
        environment = self.environment
        if tx.type == BLOB:
            self._validate_blobs(tx)
        if tx.chain_id is not None and tx.chain_id != self.rules.chain_id:
            raise WrongChainId(f"invalid chain id for signer: have {tx.chain_id} want {self.rules.chain_id}")
        if self._gas_cap is not None and tx.gas > self._gas_cap:
            raise GasLimitExceeded(f"transaction gas limit too high (cap: {self._gas_cap}, tx: {tx.gas})")
        if self.gas_used + tx.gas > environment.gas_limit:
            left = environment.gas_limit - self.gas_used
            raise GasLimitExceeded(f"gas limit reached: have {left} left in the block, want {tx.gas}")
        validate_fees(tx, environment.base_fee)
        validate_gas(tx)
        sender = tx.sender
        account = self.flat.account(sender) or NO_ACCOUNT
        nonce, balance, code_hash, _ = account
        if tx.nonce != nonce:
            if tx.nonce < nonce:
                raise NonceTooLow(f"nonce too low: address 0x{sender.hex()}, tx: {tx.nonce} state: {nonce}")
            raise NonceTooHigh(f"nonce too high: address 0x{sender.hex()}, tx: {tx.nonce} state: {nonce}")
        if nonce >= UINT64_MAX:
            raise NonceMax(f"nonce has max value: address 0x{sender.hex()}, nonce: {nonce}")
        if code_hash != EMPTY_CODE_HASH and delegation_target(self.flat.get_code(sender)) is None:
            raise SenderNotEOA(f"sender not an eoa: address 0x{sender.hex()}, codehash: 0x{code_hash.hex()}")
        cost = tx.gas * tx.max_fee_per_gas + tx.value
        cost += GAS_PER_BLOB * len(tx.blob_versioned_hashes) * tx.max_fee_per_blob_gas
        if balance < cost:
            raise InsufficientFunds(
                f"insufficient funds for gas * price + value: address 0x{sender.hex()} have {balance} want {cost}"
            )
        return account

    def _validate_blobs(self, tx: Transaction) -> None:
        if not self.rules.blobs:
            raise TransactionTypeNotSupported("transaction type not supported: blob transactions (type 3)")
        blob_gas = GAS_PER_BLOB * len(tx.blob_versioned_hashes)
        if self.blob_gas_used + blob_gas > MAX_BLOB_GAS:
            raise BlobError(f"blob gas: {self.blob_gas_used + blob_gas} is above the block's {MAX_BLOB_GAS}")
        for versioned_hash in tx.blob_versioned_hashes:
            if versioned_hash[0] != VERSIONED_HASH_VERSION_KZG:
                raise BlobError(f"blob hash version: got {versioned_hash[0]}, expected {VERSIONED_HASH_VERSION_KZG}")
        if tx.max_fee_per_blob_gas < self.environment.blob_base_fee:
            raise BlobError(
                f"max fee per blob gas less than block blob gas fee: maxFeePerBlobGas: {tx.max_fee_per_blob_gas}, "
                f"blobGasFee: {self.environment.blob_base_fee}"
            )

    def _transfer(self, tx: Transaction, price: int) -> Receipt:
        """A payment to an account without code: no computation is needed, and nothing can fail."""
        flat = self.flat
        gas_used = max(tx.intrinsic_gas, tx.floor_gas)
        sender, to, value = Address(tx.sender), tx.to, tx.value
        nonce, balance, code_hash, root = flat.account(sender) or NO_ACCOUNT
        flat.put_account(sender, (nonce + 1, balance - gas_used * price - value, code_hash, root))
        if value:
            nonce, balance, code_hash, root = flat.account(to) or NO_ACCOUNT
            flat.put_account(to, (nonce, balance + value, code_hash, root))
        else:
            flat.touch_account(to)
        self._pay_tip(gas_used, price)
        if not value or price == self.environment.base_fee:
            flat.delete_empty_touched_accounts()
        return self._add_receipt(tx, 1, gas_used, price, (), None)

    def _run(self, tx: Transaction, price: int) -> CallOutcome:
        flat = self.flat
        sender = tx.sender
        blob_fee = GAS_PER_BLOB * len(tx.blob_versioned_hashes) * self.environment.blob_base_fee
        nonce, balance, code_hash, root = flat.account(sender) or NO_ACCOUNT
        flat.put_account(sender, (nonce + 1, balance - tx.gas * price - blob_fee, code_hash, root))
        return self.run_message(tx, sender, price, nonce)

    def run_message(self, tx: Any, sender: bytes, price: int, nonce: int) -> CallOutcome:
        """Run the message of a transaction (or of a call that looks like one) whose gas is already bought.

        The sender's nonce is already raised; `nonce` is the one the transaction carries.
        """
        flat, state, computation_class = self.flat, self.state, self.computation_class
        warm = flat.warm
        warm[sender] = warm[self.environment.coinbase] = True
        for address, slots in tx.access_list:
            warm[address] = True
            for slot in slots:
                warm[(address, slot)] = True
        refund = self._apply_authorizations(tx)
        gas = tx.gas - tx.intrinsic_gas
        context = CancunTransactionContext(
            gas_price=price, origin=sender, blob_versioned_hashes=tx.blob_versioned_hashes
        )
        contract: Address | None = None
        if tx.to:
            warm[tx.to] = True
            code = flat.get_code(tx.to)
            target = delegation_target(code)
            if target is not None:
                warm[target] = True
                code = flat.get_code(target)
            message = Message(
                gas=gas,
                to=tx.to,
                sender=sender,
                value=tx.value,
                data=tx.data,
                code=code,
                code_address=target,
                is_delegation=target is not None,
            )
            computation = computation_class.apply_message(state, message, context)
        else:
            contract = Address(generate_contract_address(sender, nonce))
            warm[contract] = True
            if flat.account_has_code_or_nonce(contract):
                return self._collision(tx, refund)
            message = Message(
                gas=gas,
                to=CREATE_CONTRACT_ADDRESS,
                sender=sender,
                value=tx.value,
                data=b"",
                code=tx.data,
                create_address=contract,
            )
            computation = computation_class.apply_create_message(state, message, context)
        return self._settle(tx, computation, refund, contract)

    def _collision(self, tx: Transaction, refund: int) -> CallOutcome:
        """EIP-684: a creation at an address in use burns all gas."""
        used = max(tx.gas - min(refund, tx.gas // MAX_REFUND_QUOTIENT), tx.floor_gas)
        error = ContractCreationCollision("contract address collision")
        return CallOutcome(used, tx.gas - used, None, b"", error, (), None)

    def _settle(
        self, tx: Transaction, computation: Any, authorization_refund: int, contract: Address | None
    ) -> CallOutcome:
        """Refunds (EIP-3529) and the floor (EIP-7623)."""
        needed = tx.gas - computation.get_gas_remaining()
        logs, refund, deleted = collect_effects(computation)
        refund += authorization_refund
        used = max(needed - min(refund, needed // MAX_REFUND_QUOTIENT), tx.floor_gas)
        error = computation._error
        created = contract if error is None else None
        refunded = max(needed - used, 0)
        return CallOutcome(used, refunded, computation, computation.output, error, logs, created, deleted)

    def _apply_authorizations(self, tx: Transaction) -> int:
        """Set the delegations of a type 4 transaction; entries that do not hold are skipped. Returns the refund."""
        refund = 0
        flat = self.flat
        for entry in tx.authorization_list:
            if entry.chain_id not in (0, self.rules.chain_id) or entry.nonce >= UINT64_MAX:
                continue
            authority = entry.recover_authority()
            if authority is None:
                continue
            flat.mark_address_warm(authority)
            code = flat.get_code(authority)
            if (code and delegation_target(code) is None) or flat.get_nonce(authority) != entry.nonce:
                continue
            if flat.account_exists(authority):
                refund += REFUND_AUTHORIZATION_EXISTING
            flat.set_code(authority, DELEGATION_PREFIX + entry.address if any(entry.address) else b"")
            flat.increment_nonce(authority)
        return refund

    def finish_transaction(self, tx: Transaction, price: int, outcome: CallOutcome) -> Receipt:
        flat = self.flat
        sender = tx.sender
        flat.set_balance(sender, flat.get_balance(sender) + (tx.gas - outcome.gas_used) * price)
        self._pay_tip(outcome.gas_used, price)
        for address in outcome.deleted:
            # after the tip: what a self-destructed coinbase was paid is gone
            flat.delete_account(address)
        flat.delete_empty_touched_accounts()
        self.blob_gas_used += GAS_PER_BLOB * len(tx.blob_versioned_hashes)
        status = 1 if outcome.error is None else 0
        contract = outcome.contract_address
        if contract is None and not tx.to:
            contract = Address(generate_contract_address(sender, tx.nonce))
        return self._add_receipt(tx, status, outcome.gas_used, price, outcome.logs, contract)

    def _pay_tip(self, gas_used: int, price: int) -> None:
        flat, coinbase = self.flat, self.environment.coinbase
        nonce, balance, code_hash, root = flat.account(coinbase) or NO_ACCOUNT
        balance += gas_used * (price - self.environment.base_fee)
        flat.put_account(coinbase, (nonce, balance, code_hash, root))

    def _add_receipt(
        self, tx: Transaction, status: int, gas_used: int, price: int, logs: tuple[Log, ...], contract: Address | None
    ) -> Receipt:
        self.gas_used += gas_used
        bloom = compute_bloom(logs) if logs else EMPTY_BLOOM
        receipt = Receipt(tx.type, status, self.gas_used, bloom, logs, gas_used, price, contract)
        self.receipts.append(receipt)
        return receipt

    # -- end of the block ----------------------------------------------------------------------------------------
    def finish(self, withdrawals: Sequence[Withdrawal]) -> Outcome:
        """End the block: withdrawals, staking, requests, roots."""
        flat = self.flat
        flat.lock_changes()
        for withdrawal in withdrawals:
            flat.set_balance(withdrawal.address, flat.get_balance(withdrawal.address) + withdrawal.amount * GWEI)
        flat.delete_empty_touched_accounts()
        if self._system_calls:
            self._notices += end_block(self.state, self.environment)
        requests_hash = EMPTY_REQUESTS_HASH
        if self.rules.requests:
            requests = collect_requests(self.state, self.computation_class, self.receipts)
            requests_hash = compute_requests_hash(requests)
        changes = flat.compute_changes(self._parent_state_root)
        return Outcome(
            changes, tuple(self.receipts), self.gas_used, self.blob_gas_used, requests_hash, self._notices
        )


def validate_fees(tx: Transaction, base_fee: int) -> None:
    """EIP-1559: the fee cap covers the base fee, and the tip is within the cap."""
    if tx.max_priority_fee_per_gas > tx.max_fee_per_gas:
        raise TipAboveFeeCap(
            "max priority fee per gas higher than max fee per gas: "
            f"maxPriorityFeePerGas: {tx.max_priority_fee_per_gas}, maxFeePerGas: {tx.max_fee_per_gas}"
        )
    if tx.max_fee_per_gas < base_fee:
        raise FeeCapTooLow(
            f"max fee per gas less than block base fee: maxFeePerGas: {tx.max_fee_per_gas}, baseFee: {base_fee}"
        )


def validate_gas(tx: Transaction) -> None:
    """The gas limit covers what is due before the first opcode (EIP-2028, 2930, 3860, 7623, 7702)."""
    if not tx.to and len(tx.data) > MAX_INITCODE_BYTES:
        raise InitcodeTooLarge(f"max initcode size exceeded: code size {len(tx.data)}, limit {MAX_INITCODE_BYTES}")
    if tx.gas < tx.intrinsic_gas:
        raise IntrinsicGasTooLow(f"intrinsic gas too low: have {tx.gas}, want {tx.intrinsic_gas}")
    if tx.gas < tx.floor_gas:
        raise FloorGasTooLow(f"insufficient gas for floor data gas cost: have {tx.gas}, want {tx.floor_gas}")


class _EmptyReader:
    """The state before genesis."""

    def get(self, key: bytes) -> bytes | None:
        return None

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return iter(())


def create_state(alloc: Mapping[Address, GenesisAccount]) -> StateChanges:
    """The state that holds just the accounts of `alloc`."""
    flat = FlatState(_EmptyReader())
    for address, account in alloc.items():
        flat.set_balance(address, account.balance)
        flat.set_nonce(address, account.nonce)
        if account.code:
            flat.set_code(address, account.code)
        for slot, value in account.storage:
            flat.set_storage(address, slot, value)
    return flat.compute_changes(EMPTY_TRIE_ROOT)


class NativeExecutor:
    """The default engine."""

    name = "native"

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.codes = CodeCache()
        self._cache = StateCache()

    def create(self, alloc: Mapping[Address, GenesisAccount]) -> StateChanges:
        return create_state(alloc)

    def begin(
        self,
        reader: Reader,
        parent_state_root: Hash32,
        environment: BlockEnvironment,
        *,
        system_calls: bool = True,
    ) -> BlockExecution:
        flat = FlatState(reader, cache=self._cache, codes=self.codes)
        return BlockRun(self.rules, flat, environment, parent_state_root, system_calls=system_calls)

    def restore(
        self, reader: Reader, state_root: Hash32, values: Mapping[bytes, bytes | None]
    ) -> StateChanges:
        return restore_flat_keys(reader, state_root, values)

    def edit(self, reader: Reader, state_root: Hash32, edits: Mapping[Address, AccountEdit]) -> StateChanges:
        flat = FlatState(reader)
        for address, edit in edits.items():
            if edit.balance is not None:
                flat.set_balance(address, edit.balance)
            if edit.nonce is not None:
                flat.set_nonce(address, edit.nonce)
            if edit.code is not None:
                flat.set_code(address, edit.code)
            for slot, value in edit.storage.items():
                flat.set_storage(address, slot, value)
        return flat.compute_changes(state_root)

    def committed(self, changes: StateChanges) -> None:
        self._cache.absorb(changes.seen)

    def reset(self) -> None:
        self._cache.clear()
