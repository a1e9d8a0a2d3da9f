"""`dmchain tx`: sign and send transactions to a running node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.transaction import DYNAMIC_FEE, Transaction, UnsignedTransaction, sign_transaction
from dmchain.node.cli.client import Client, ClientError, json_option, rpc_option, show
from dmchain.node.cli.keys import key_options, load_key
from dmchain.node.cli.parameters import ADDRESS, AMOUNT, DATA, HASH

RECEIPT_TIMEOUT_SECONDS = 60.0


@click.group()
def tx() -> None:
    """Sign and send transactions.

    \b
    Example:
      dmchain tx send --key-file key.json --password-file pw.txt --to 0x… --value 1.5ether
    """


@dataclass(frozen=True, slots=True)
class Fees:
    """What the options of `sending_options` say; None: ask the node."""

    gas: int | None = None
    nonce: int | None = None
    max_fee: int | None = None
    tip: int | None = None
    no_wait: bool = False

    @classmethod
    def of(cls, options: dict[str, Any]) -> Fees:
        return cls(**{name: options[name] for name in ("gas", "nonce", "max_fee", "tip", "no_wait")})


def sending_options(command: Any) -> Any:
    """Add what `load_key` and `Fees.of` read, --rpc and --json."""
    command = click.option("--gas", type=click.IntRange(21_000), help="Gas limit; estimated unless given.")(command)
    command = click.option("--nonce", type=click.IntRange(0), help="The account's next unless given.")(command)
    command = click.option("--max-fee", type=AMOUNT, help="Per gas; twice the base fee and the tip unless given.")(
        command
    )
    command = click.option("--tip", type=AMOUNT, help="Per gas, to the proposer; suggested by the node unless given.")(
        command
    )
    command = click.option("--no-wait", is_flag=True, help="Print the hash at once instead of the receipt.")(command)
    return json_option(rpc_option(key_options(command)))


def make_transaction(client: Client, key: PrivateKey, *, to: bytes, value: int, data: bytes, fees: Fees) -> Transaction:
    """Fill in what was not given and sign. Raises ClientError, also when the estimate of gas reverts."""
    sender = "0x" + key.address.hex()
    tip, max_fee, nonce, gas = fees.tip, fees.max_fee, fees.nonce, fees.gas
    if tip is None:
        tip = int(client.call("eth_maxPriorityFeePerGas"), 16)
        tip = tip if max_fee is None else min(tip, max_fee)
    if max_fee is None:
        base_fee = int(client.call("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
        max_fee = 2 * base_fee + tip
    if nonce is None:
        nonce = int(client.call("eth_getTransactionCount", sender, "pending"), 16)
    if gas is None:
        message = {"from": sender, "value": hex(value), "data": "0x" + data.hex()}
        if to:
            message["to"] = "0x" + to.hex()
        gas = int(client.call("eth_estimateGas", message), 16)
    unsigned = UnsignedTransaction(
        type=DYNAMIC_FEE,
        chain_id=int(client.call("eth_chainId"), 16),
        nonce=nonce,
        gas=gas,
        max_fee_per_gas=max_fee,
        max_priority_fee_per_gas=tip,
        to=to,
        value=value,
        data=data,
    )
    return sign_transaction(unsigned, key)


def _send(client: Client, key: PrivateKey, as_json: bool, *, to: bytes, value: int, data: bytes, fees: Fees) -> None:
    signed = make_transaction(client, key, to=to, value=value, data=data, fees=fees)
    _submit(client, signed.raw, as_json, fees.no_wait)


def _submit(client: Client, raw: bytes, as_json: bool, no_wait: bool) -> None:
    sent = client.call("eth_sendRawTransaction", "0x" + raw.hex())
    if no_wait:
        show({"transactionHash": sent} if as_json else sent, as_json)
        return
    click.echo(f"sent {sent}, waiting for its block", err=True)
    receipt = client.wait_for_receipt(sent, RECEIPT_TIMEOUT_SECONDS)
    show(receipt, as_json)
    if int(receipt["status"], 16) != 1:
        raise ClientError(f"{sent} failed in block {int(receipt['blockNumber'], 16)}")


@tx.command()
@click.option("--to", type=ADDRESS, required=True)
@click.option("--value", type=AMOUNT, default=0, show_default=True, help="1000, 3gwei or 1.5ether.")
@click.option("--data", type=DATA, default=b"", help="0x and hex digits.")
@sending_options
def send(to: bytes, value: int, data: bytes, client: Client, as_json: bool, **options: Any) -> None:
    """Send coins or call data, and wait for the receipt.

    \b
    Example:
      dmchain tx send --private-key-file key.hex --to 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --value 1ether
    """
    _send(client, load_key(options), as_json, to=to, value=value, data=data, fees=Fees.of(options))


@tx.command()
@click.argument("to", type=ADDRESS)
@click.argument("signature", metavar="'NAME(TYPES)'")
@click.argument("arguments", nargs=-1)
@click.option("--value", type=AMOUNT, default=0, show_default=True)
@sending_options
def call(
    to: bytes,
    signature: str,
    arguments: tuple[str, ...],
    value: int,
    client: Client,
    as_json: bool,
    **options: Any,
) -> None:
    """Send a transaction that calls a contract.

    \b
    Example:
      dmchain tx call 0x000000000000000000000000000000000000DA01 'retire(bytes32)' 0x… --private-key-file key.hex
    """
    from dmchain.node.cli.abi import encode_call, parse_signature

    data = encode_call(parse_signature(signature), arguments)
    _send(client, load_key(options), as_json, to=to, value=value, data=data, fees=Fees.of(options))


@tx.command()
@click.argument("code", type=DATA)
@click.option("--value", type=AMOUNT, default=0, show_default=True)
@sending_options
def create(code: bytes, value: int, client: Client, as_json: bool, **options: Any) -> None:
    """Deploy a contract from its initcode (with encoded constructor arguments)."""
    _send(client, load_key(options), as_json, to=b"", value=value, data=code, fees=Fees.of(options))


@tx.command()
@click.argument("raw", type=DATA, metavar="0xRAW")
@click.option("--no-wait", is_flag=True, help="Print the hash at once instead of the receipt.")
@rpc_option
@json_option
def raw(raw: bytes, no_wait: bool, client: Client, as_json: bool) -> None:
    """Send a transaction that was signed elsewhere."""
    _submit(client, raw, as_json, no_wait)


@tx.command()
@click.argument("transaction_hash", type=HASH, metavar="HASH")
@click.option("--timeout", type=click.FloatRange(0), default=RECEIPT_TIMEOUT_SECONDS, show_default=True)
@rpc_option
@json_option
def wait(transaction_hash: bytes, timeout: float, client: Client, as_json: bool) -> None:
    """Wait until a transaction is in a block and show its receipt."""
    show(client.wait_for_receipt("0x" + transaction_hash.hex(), timeout), as_json)
