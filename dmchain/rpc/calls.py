"""eth_ methods that execute or send: call, estimateGas, createAccessList, fillTransaction, sendRawTransaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dmchain.chain.primitives.codec import encode
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import TransactionTypeNotSupported
from dmchain.chain.primitives.transaction import (
    ACCESS_LIST,
    BLOB,
    DYNAMIC_FEE,
    LEGACY,
    SET_CODE,
    UnsignedTransaction,
)
from dmchain.chain.primitives.types import ZERO_ADDRESS, Address, Hash32
from dmchain.rpc.backend import (
    BlockOverrides,
    CallLimits,
    CallMessage,
    CallRequest,
    Chain,
    StateOverrides,
    Submitted,
)
from dmchain.rpc.blocks import get_state_at
from dmchain.rpc.errors import InvalidParams, RpcError, execution_error
from dmchain.rpc.format import (
    Json,
    format_access_list,
    format_access_list_result,
    format_authorization,
    format_data,
    format_optional,
    format_receipt,
)
from dmchain.rpc.params import (
    LATEST,
    Argument,
    BlockId,
    TransactionArgs,
    parse_block_id,
    parse_block_overrides,
    parse_data,
    parse_number,
    parse_state_overrides,
    parse_transaction_args,
)
from dmchain.rpc.registry import NOT_YET, Context, Deferred, MethodTable

methods = MethodTable()

TRANSACTION = Argument("transaction", parse_transaction_args)
BLOCK = Argument("block", parse_block_id, LATEST)
STATE_OVERRIDES = Argument("stateOverrides", parse_state_overrides, {})
BLOCK_OVERRIDES = Argument("blockOverrides", parse_block_overrides, BlockOverrides())
RAW_TRANSACTION = Argument("rawTransaction", parse_data)


def build_request(
    chain: Chain,
    args: TransactionArgs,
    block: BlockId,
    state_overrides: StateOverrides | None = None,
    block_overrides: BlockOverrides | None = None,
) -> CallRequest:
    """A call request from a client's transaction object; raises InvalidParams for another chain's id."""
    check_chain_id(chain, args)
    cap, tip = args.max_fee_per_gas, args.max_priority_fee_per_gas
    if args.gas_price is not None:
        cap, tip = args.gas_price, args.gas_price
    elif cap is None:
        tip = None  # a tip alone is no offer to pay
    message = CallMessage(
        sender=args.sender or ZERO_ADDRESS,
        to=args.to or b"",
        data=args.data or b"",
        value=args.value or 0,
        gas=args.gas,
        max_fee_per_gas=cap,
        max_priority_fee_per_gas=tip if cap is None else tip or 0,
        nonce=args.nonce,
        access_list=args.access_list or (),
        authorization_list=args.authorization_list or (),
        blob_versioned_hashes=args.blob_versioned_hashes or (),
        max_fee_per_blob_gas=args.max_fee_per_blob_gas,
        type=args.type,
    )
    at = get_state_at(chain, block)
    return CallRequest(message, at, state_overrides or {}, block_overrides or BlockOverrides())


def check_chain_id(chain: Chain, args: TransactionArgs) -> None:
    if args.chain_id is not None and args.chain_id != chain.chain_id():
        raise InvalidParams(f"chainId does not match node's (have={args.chain_id}, want={chain.chain_id()})")


def call_limits(context: Context) -> CallLimits:
    return CallLimits(context.limits.gas_cap, context.stop)


@methods.add("eth_call", arguments=(TRANSACTION, BLOCK, STATE_OVERRIDES, BLOCK_OVERRIDES), heavy=True)
def call(
    context: Context,
    args: TransactionArgs,
    block: BlockId,
    state: StateOverrides,
    environment: BlockOverrides,
) -> str:
    """Run a message and return its output; a revert is error 3 with the output as data."""
    chain = context.backend.chain
    result = chain.call(build_request(chain, args, block, state, environment), call_limits(context))
    if result.error is not None:
        raise execution_error(result)
    return format_data(result.output)


@methods.add("eth_estimateGas", arguments=(TRANSACTION, BLOCK, STATE_OVERRIDES, BLOCK_OVERRIDES), heavy=True)
def estimate_gas(
    context: Context,
    args: TransactionArgs,
    block: BlockId,
    state: StateOverrides,
    environment: BlockOverrides,
) -> str:
    chain = context.backend.chain
    return hex(chain.estimate_gas(build_request(chain, args, block, state, environment), call_limits(context)))


@methods.add("eth_createAccessList", arguments=(TRANSACTION, BLOCK, STATE_OVERRIDES), heavy=True)
def create_access_list(context: Context, args: TransactionArgs, block: BlockId, state: StateOverrides) -> Json:
    """A failing call still answers, with its `error`."""
    chain = context.backend.chain
    result = chain.create_access_list(build_request(chain, args, block, state), call_limits(context))
    return format_access_list_result(result)


# ---------------------------------------------------------------- filling in


def fill_transaction(context: Context, args: TransactionArgs) -> UnsignedTransaction:
    """Everything a client left out but the nonce (0 if absent): type, fees, gas by estimation. In a worker thread."""
    chain = context.backend.chain
    check_chain_id(chain, args)
    if args.to is None and not args.data:
        raise InvalidParams("contract creation without any data provided")
    type_ = _choose_type(args)
    cap, tip = _choose_fees(chain, args, type_)
    gas = args.gas
    if gas is None:
        gas = chain.estimate_gas(build_request(chain, args, LATEST), call_limits(context))
    return UnsignedTransaction(
        type=type_,
        chain_id=chain.chain_id(),
        nonce=args.nonce or 0,
        gas=gas,
        max_fee_per_gas=cap,
        max_priority_fee_per_gas=tip,
        to=args.to or b"",
        value=args.value or 0,
        data=args.data or b"",
        access_list=args.access_list or (),
        authorization_list=args.authorization_list or (),
    )


def _choose_type(args: TransactionArgs) -> int:
    """The type that was asked for if it can carry what was given; if none was, 2 unless the members need another."""
    if args.blob_versioned_hashes is not None or args.max_fee_per_blob_gas is not None or args.type == BLOB:
        raise TransactionTypeNotSupported("transaction type not supported: this node cannot fill in blob transactions")
    allowed: tuple[int, ...]
    if args.authorization_list is not None:
        allowed = (SET_CODE,)
    elif args.max_fee_per_gas is not None or args.max_priority_fee_per_gas is not None:
        allowed = (DYNAMIC_FEE,)
    elif args.gas_price is not None:
        allowed = (LEGACY, ACCESS_LIST) if args.access_list is None else (ACCESS_LIST,)
    else:
        allowed = (DYNAMIC_FEE, ACCESS_LIST, LEGACY) if args.access_list is None else (DYNAMIC_FEE, ACCESS_LIST)
    if args.type is None:
        return allowed[0]
    if args.type not in allowed:
        expected = " or ".join(map(str, allowed))
        raise InvalidParams(f"type: the members given need type {expected}, got {args.type}")
    return args.type


def _choose_fees(chain: Chain, args: TransactionArgs, type_: int) -> tuple[int, int]:
    """Fee cap and tip, wei per gas; as geth: twice the next base fee, so that it lasts through six full blocks."""
    if args.gas_price is not None:
        return args.gas_price, args.gas_price
    base_fee = chain.fees(chain.head().number + 1).base_fee
    if type_ < DYNAMIC_FEE:
        price = base_fee + chain.suggested_tip()
        return price, price
    cap, tip = args.max_fee_per_gas, args.max_priority_fee_per_gas
    if tip is None:
        tip = chain.suggested_tip() if cap is None else min(cap, chain.suggested_tip())
    return (2 * base_fee + tip if cap is None else cap), tip


@methods.add("eth_fillTransaction", arguments=(TRANSACTION,), heavy=True)
def get_filled_transaction(context: Context, args: TransactionArgs) -> Deferred:
    """The transaction ready to be signed: viem asks for it before it signs."""
    filled = fill_transaction(context, args)
    sender = args.sender or ZERO_ADDRESS

    def finish() -> Json:
        chain = context.backend.chain
        nonce = chain.pending_nonce(sender) if args.nonce is None else args.nonce
        return format_unsigned(with_nonce(filled, nonce), sender)

    return Deferred(finish, finish, 0.0)


def with_nonce(unsigned: UnsignedTransaction, nonce: int) -> UnsignedTransaction:
    return UnsignedTransaction(
        unsigned.type,
        unsigned.chain_id,
        nonce,
        unsigned.gas,
        unsigned.max_fee_per_gas,
        unsigned.max_priority_fee_per_gas,
        unsigned.to,
        unsigned.value,
        unsigned.data,
        unsigned.access_list,
        unsigned.authorization_list,
    )


def format_unsigned(unsigned: UnsignedTransaction, sender: Address) -> Json:
    """{raw, tx} with an empty signature, as geth's eth_fillTransaction answers."""
    empty_signature = (0, 0, 0)
    fields = [*unsigned.signing_fields(), *empty_signature]
    prefix = bytes((unsigned.type,)) if unsigned.type else b""
    raw = prefix + encode(fields)
    tx: Json = {
        "blockHash": None,
        "blockNumber": None,
        "transactionIndex": None,
        "hash": format_data(keccak(raw)),
        "type": hex(unsigned.type),
        "from": format_data(sender),
        "to": format_optional(unsigned.to),
        "nonce": hex(unsigned.nonce),
        "gas": hex(unsigned.gas),
        "gasPrice": hex(unsigned.max_fee_per_gas),
        "value": hex(unsigned.value),
        "input": format_data(unsigned.data),
        "v": "0x0",
        "r": "0x0",
        "s": "0x0",
    }
    if unsigned.chain_id is not None:
        tx["chainId"] = hex(unsigned.chain_id)
    if unsigned.type >= ACCESS_LIST:
        tx["accessList"] = format_access_list(unsigned.access_list)
        tx["yParity"] = "0x0"
    if unsigned.type >= DYNAMIC_FEE:
        tx["maxFeePerGas"] = hex(unsigned.max_fee_per_gas)
        tx["maxPriorityFeePerGas"] = hex(unsigned.max_priority_fee_per_gas)
    if unsigned.type == SET_CODE:
        tx["authorizationList"] = [format_authorization(item) for item in unsigned.authorization_list]
    return {"raw": format_data(raw), "tx": tx}


# ---------------------------------------------------------------- sending


@methods.add("eth_sendRawTransaction", arguments=(RAW_TRANSACTION,))
def send_raw_transaction(context: Context, raw: bytes) -> str | Deferred:
    """Pool a signed transaction; on a devnet with automine the answer comes when it is in a block."""
    return settle(context, context.backend.chain.submit(raw))


def settle(context: Context, submitted: Submitted) -> str | Deferred:
    """The hash: at once, or when the transaction has settled."""
    shown = format_data(submitted.hash)
    if not submitted.settles:
        return shown
    chain = context.backend.chain

    def poll() -> Any:
        record = chain.transaction(submitted.hash)
        # No record: it was taken and dropped again; the client will see that there is no receipt.
        return shown if record is None or record.header is not None else NOT_YET

    return Deferred(poll, lambda: shown, context.limits.settle_timeout_seconds)


def submit_deferred(context: Context, submit: Callable[[], Submitted]) -> Deferred:
    """Submit on the event loop's thread, then settle: what a heavy method returns to send a transaction."""
    settling: Deferred | None = None

    def poll() -> Any:
        nonlocal settling
        if settling is None:
            result = settle(context, submit())
            if not isinstance(result, Deferred):
                return result
            settling = result
        return settling.poll()

    def expire() -> Any:
        return poll() if settling is None else settling.expire()

    return Deferred(poll, expire, context.limits.settle_timeout_seconds)


class ReceiptTimeout(RpcError):
    """EIP-7966: the transaction is in the pool, but no block took it in time. `data` is its hash."""

    code = 4

    def __init__(self, transaction_hash: Hash32, seconds: float) -> None:
        super().__init__(
            f"The transaction was added to the mempool but wasn't processed in {seconds:g} seconds",
            data=format_data(transaction_hash),
        )


@methods.add("eth_sendRawTransactionSync", arguments=(RAW_TRANSACTION, Argument("timeout", parse_number, None)))
def send_raw_transaction_sync(context: Context, raw: bytes, timeout_ms: int | None) -> Deferred:
    """Pool a signed transaction and answer with its receipt (EIP-7966)."""
    chain, limits = context.backend.chain, context.limits
    seconds = limits.sync_send_timeout_seconds
    if timeout_ms is not None:
        seconds = min(timeout_ms / 1000, limits.max_sync_send_timeout_seconds)
    transaction_hash = chain.submit(raw).hash

    def poll() -> Any:
        record = chain.receipt(transaction_hash)
        return NOT_YET if record is None else format_receipt(record)

    def expire() -> Any:
        raise ReceiptTimeout(transaction_hash, seconds)

    return Deferred(poll, expire, seconds)
