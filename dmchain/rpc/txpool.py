"""txpool_ methods: geth's shapes, senders with the checksum of EIP-55, nonces in decimal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Address
from dmchain.rpc.format import Json, format_checksum_address, format_data, format_transaction
from dmchain.rpc.params import Argument, parse_address
from dmchain.rpc.registry import Context, MethodTable, Work

methods = MethodTable()

Senders = Mapping[Address, Mapping[int, Transaction]]


@methods.add("txpool_status")
def get_status(context: Context) -> Json:
    pending, queued = context.backend.chain.pool_status()
    return {"pending": hex(pending), "queued": hex(queued)}


@methods.add("txpool_content")
def get_content(context: Context) -> Work:
    content = context.backend.chain.pool_content()
    return Work(
        lambda: {
            "pending": _by_sender(content.pending, format_transaction),
            "queued": _by_sender(content.queued, format_transaction),
        }
    )


@methods.add("txpool_inspect")
def get_summary(context: Context) -> Work:
    content = context.backend.chain.pool_content()
    return Work(
        lambda: {
            "pending": _by_sender(content.pending, summarize),
            "queued": _by_sender(content.queued, summarize),
        }
    )


@methods.add("txpool_contentFrom", arguments=(Argument("address", parse_address),))
def get_content_from(context: Context, address: Address) -> Json:
    content = context.backend.chain.pool_content([address])
    return {
        "pending": _by_nonce(content.pending.get(address, {}), format_transaction),
        "queued": _by_nonce(content.queued.get(address, {}), format_transaction),
    }


def _by_sender(senders: Senders, show: Callable[[Transaction], Any]) -> Json:
    return {format_checksum_address(sender): _by_nonce(nonces, show) for sender, nonces in senders.items()}


def _by_nonce(nonces: Mapping[int, Transaction], show: Callable[[Transaction], Any]) -> Json:
    return {str(nonce): show(nonces[nonce]) for nonce in sorted(nonces)}


def summarize(tx: Transaction) -> str:
    """geth's line: recipient, value, gas limit and price."""
    to = format_data(tx.to) if tx.to else "contract creation"
    return f"{to}: {tx.value} wei + {tx.gas} gas × {tx.max_fee_per_gas} wei"
