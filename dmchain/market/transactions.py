"""Sending a transaction so that it arrives once: fees, nonce, gas, waiting, and what it did."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from eth_utils.address import to_checksum_address

from dmchain.market.abi import known_events, load_interface
from dmchain.market.answers import data, field, quantity
from dmchain.market.context import Call, Context, Progress, call
from dmchain.market.errors import (
    AbiError,
    FeeTooHigh,
    InsufficientFunds,
    MarketError,
    Reverted,
    RpcFailure,
    TransactionDropped,
    TransactionFailed,
    TransactionTimeout,
)
from dmchain.market.steps import Acquire, Batch, Pause, Release, Request, Steps

__all__ = ["Event", "Progress", "Receipt", "send", "transact"]

MAX_ATTEMPTS: Final = 6
"""Of one transaction when other programs send from the same account."""
ATTEMPT_PAUSE_SECONDS: Final = 0.05
FIRST_POLL_SECONDS: Final = 0.05
LAST_POLL_SECONDS: Final = 1.0
POLLS_BEFORE_DOUBT: Final = 8
RECEIPT_FIELDS: Final = ("transactionHash", "blockNumber", "status", "gasUsed", "effectiveGasPrice", "from", "logs")
MAX_TRANSACTION_GAS: Final = 2**24
"""EIP-7825."""
MAX_COST: Final = 10**18
"""Wei of fees that no transaction costs unless the caller says so: geth's cap for what its own accounts send."""
NONCE_TAKEN: Final = ("nonce too low", "already known", "replacement transaction underpriced", "nonce too high")
"""geth's words when somebody else used the nonce in between."""


@dataclass(frozen=True, slots=True)
class Event:
    """A log: `contract` is the name of a contract of the market, else empty."""

    contract: str
    name: str
    arguments: dict[str, Any]
    address: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """A transaction that did what it should. `fee` in wei."""

    transaction_hash: str
    block_number: int
    gas_used: int
    fee: int
    sender: str
    events: tuple[Event, ...]

    def find(self, name: str) -> Event | None:
        """The first event of this name."""
        return next((each for each in self.events if each.name == name), None)

    def all(self, name: str) -> tuple[Event, ...]:
        return tuple(each for each in self.events if each.name == name)

    def event(self, name: str) -> Event:
        """The first event of this name. Raises MarketError: contract and ABI do not belong together."""
        found = self.find(name)
        if found is None:
            raise MarketError(f"transaction {self.transaction_hash}: expected an event {name}")
        return found


def transact(context: Context, contract: str, function: str, *arguments: Any, value: int = 0) -> Steps[Receipt]:
    """Call a function of a contract of the market in a transaction, and wait for it."""
    return (yield from send(context, call(contract, function, *arguments), value=value))


def send(context: Context, wanted: Call, *, value: int = 0, action: str | None = None) -> Steps[Receipt]:
    """Send a call and wait until it is in a block.

    `value` in wei. Raises Reverted before anything is sent when the contract would refuse, InsufficientFunds,
    TransactionTimeout, TransactionDropped, NoSigner.
    """
    chain_id = yield from context.chain_id()
    signer = context.require_signer()
    sender = yield from signer.resolve()
    message = yield from context.message(wanted)
    message |= {"from": sender, "value": hex(value)}
    shown = action or wanted.entry.name
    context.tell(shown, "sending")
    yield Acquire(sender)  # nonces of one account are given out one by one
    try:
        sent, nonce = yield from _submit(context, message, chain_id)
    finally:
        yield Release(sender)
    context.tell(shown, "sent", sent)
    document = yield from _wait(context, sent, sender, nonce)
    receipt = _read_receipt(context, document)
    if quantity(document["status"], "status") != 1:
        yield from _explain_failure(context, message, document)
    context.tell(shown, "mined", sent, receipt.block_number)
    return receipt


def _submit(context: Context, message: dict[str, str], chain_id: int) -> Steps[tuple[str, int]]:
    """Fill in, sign and send; again with a new nonce when another program was faster with this one."""
    signer = context.require_signer()
    for attempt in range(MAX_ATTEMPTS):
        fields = yield from _fill(context, message, chain_id)
        try:
            sent = yield from signer.submit(fields)
        except RpcFailure as failure:
            is_taken = any(each in failure.reason for each in NONCE_TAKEN)
            if not is_taken or attempt == MAX_ATTEMPTS - 1:
                raise _translate(context, failure, message) from None
            yield Pause(ATTEMPT_PAUSE_SECONDS * 2**attempt)
            continue
        return sent, fields["nonce"]
    raise AssertionError("unreachable: the last attempt returns or raises")


def _fill(context: Context, message: dict[str, str], chain_id: int) -> Steps[dict[str, Any]]:
    requests = (
        Request("eth_getTransactionCount", (message["from"], "pending")),
        Request("eth_estimateGas", (message,)),
        Request("eth_getBlockByNumber", ("latest", False)),
        Request("eth_maxPriorityFeePerGas"),
    )
    answers = yield Batch(requests)
    for answer in answers:
        if isinstance(answer, RpcFailure):
            raise _translate(context, answer, message) from None
    nonce, gas, block, suggested = answers
    tip = context.fees.tip if context.fees.tip is not None else quantity(suggested, "eth_maxPriorityFeePerGas")
    max_fee = context.fees.max_fee
    if max_fee is None:
        max_fee = 2 * quantity(field(block, "baseFeePerGas", "latest block"), "baseFeePerGas") + tip
    # the estimate is exact for the next block; state and time move on until ours is in one
    most = min(quantity(field(block, "gasLimit", "latest block"), "gasLimit"), MAX_TRANSACTION_GAS)
    limit = min(quantity(gas, "eth_estimateGas") * 5 // 4 + 10_000, most)
    if context.fees.max_fee is None and limit * max_fee > MAX_COST:
        raise FeeTooHigh(
            f"the node suggests fees of up to {limit * max_fee / 10**18:.2f} DM for one transaction",
            hint="if that is right, say what to pay per gas: Fees(max_fee=…), --max-fee",
        )
    return {
        "type": 2,
        "chainId": chain_id,
        "from": message["from"],
        "to": message["to"],
        "value": int(message["value"], 16),
        "data": message["data"],
        "nonce": quantity(nonce, "eth_getTransactionCount"),
        "gas": limit,
        "maxFeePerGas": max_fee,
        "maxPriorityFeePerGas": min(tip, max_fee),
    }


def _translate(context: Context, failure: RpcFailure, message: dict[str, str]) -> MarketError:
    if "insufficient funds" in failure.reason:
        return InsufficientFunds(
            f"{message['from']}: {failure.reason}", hint="the account needs native coin for the value and the gas"
        )
    return context.explain(failure)


def _wait(context: Context, sent: str, sender: str, nonce: int) -> Steps[dict[str, Any]]:
    deadline = time.monotonic() + context.timeout_seconds
    pause, polls = FIRST_POLL_SECONDS, 0
    while True:
        document = yield Request("eth_getTransactionReceipt", (sent,))
        if document is not None:
            for name in RECEIPT_FIELDS:
                field(document, name, "receipt")
            found: dict[str, Any] = document
            return found
        polls += 1
        if polls % POLLS_BEFORE_DOUBT == 0:
            yield from _check_not_dropped(sent, sender, nonce)
        if time.monotonic() >= deadline:
            raise TransactionTimeout(
                f"transaction {sent} is in no block after {context.timeout_seconds:g} s",
                sent,
                hint=f"it may still be: `dmchain tx wait {sent}`",
            )
        yield Pause(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(pause * 1.5, LAST_POLL_SECONDS)


def _check_not_dropped(sent: str, sender: str, nonce: int) -> Steps[None]:
    known, count, receipt = yield Batch(
        (
            Request("eth_getTransactionByHash", (sent,)),
            Request("eth_getTransactionCount", (sender, "latest")),
            Request("eth_getTransactionReceipt", (sent,)),
        )
    )
    is_over = not isinstance(count, RpcFailure) and quantity(count, "eth_getTransactionCount") > nonce
    if known is None and receipt is None and is_over:
        raise TransactionDropped(
            f"transaction {sent}: another one of {sender} took its nonce {nonce}",
            sent,
            hint="another program sends from this account; try again",
        )


def _read_receipt(context: Context, document: dict[str, Any]) -> Receipt:
    names = context.names()
    gas_used = quantity(document["gasUsed"], "gasUsed")
    return Receipt(
        transaction_hash=document["transactionHash"],
        block_number=quantity(document["blockNumber"], "blockNumber"),
        gas_used=gas_used,
        fee=gas_used * quantity(document["effectiveGasPrice"], "effectiveGasPrice"),
        sender=to_checksum_address(data(document["from"], "receipt's sender", 20)),
        events=tuple(event for log in document["logs"] if (event := _read_log(log, names)) is not None),
    )


def _read_log(log: dict[str, Any], names: dict[str, str]) -> Event | None:
    address = to_checksum_address(data(field(log, "address", "log"), "log's address", 20))
    topics = [data(topic, "log's topic", 32) for topic in field(log, "topics", "log")]
    content = data(field(log, "data", "log"), "log's data")
    name = names.get(address, "")
    if not topics:
        return None
    try:
        own = load_interface(name).events.get(topics[0]) if name else None
    except AbiError:
        own = None
    for entry in (*((own,) if own else ()), *known_events().get(topics[0], ())):
        try:
            return Event(name, entry.name, entry.decode_log(topics, content), address)
        except AbiError:
            continue
    return None


def _explain_failure(context: Context, message: dict[str, str], document: dict[str, Any]) -> Steps[None]:
    """Raise for a transaction that is in a block and failed: ask for its reason on the state after that block."""
    sent = document["transactionHash"]
    (answer,) = yield Batch((Request("eth_call", (message, document["blockNumber"])),))
    if isinstance(answer, RpcFailure):
        reason = context.explain(answer)
        if isinstance(reason, Reverted):
            reason.transaction_hash = sent
            raise reason
    raise TransactionFailed(
        f"transaction {sent} failed in block {quantity(document['blockNumber'], 'blockNumber')}",
        sent,
        hint=f"`cast run {sent}` or debug_traceTransaction shows where",
    )
