"""`dmchain query` and `dmchain status`: reads from a running node."""

from __future__ import annotations

import json
from typing import Any

import click

from dmchain.node.cli.client import Client, ClientError, json_option, rpc_option, show
from dmchain.node.cli.parameters import ADDRESS, HASH, checksum

ROLES = {
    "validator": "signs",
    "observer": "in the validator set, but does not sign now",
    "candidate": "has a key that is not in the validator set",
    "follower": "has no consensus key",
}


@click.command()
@rpc_option
@json_option
def status(client: Client, as_json: bool) -> None:
    """Show how a running node is: head, peers, round, validator set; exit status 1 when it does not answer or is not well.

    \b
    Example:
      dmchain status --rpc http://127.0.0.1:8545
    """
    info = client.call("dm_nodeInfo")
    if as_json:
        show(info, True)
    else:
        show(_describe_node(info), False)
        if info.get("consensus"):
            _print_validators(info["consensus"])
            _print_peers(info["peers"])
    if info["problem"]:
        raise ClientError(f"the node is not well: {info['problem']}")


def _describe_node(info: dict[str, Any]) -> dict[str, Any]:
    head, consensus = info["head"], info.get("consensus")
    rows = {
        "node": info["clientVersion"],
        "id": info["nodeId"],
        "role": info["role"] + (f", {ROLES[info['role']]}" if info["role"] in ROLES else ""),
        "chain id": int(info["chainId"], 16),
        "genesis": info["genesisHash"],
        "head": f"{int(head['number'], 16)} {head['hash']}",
        "peers": int(info["peerCount"], 16),
        "validators": int(info["validatorCount"], 16),
        "pool": f"{int(info['pool']['pending'], 16)} pending, {int(info['pool']['queued'], 16)} queued",
        "up": f"{int(info['uptimeSeconds'], 16)} s",
        "health": info["problem"] or "well",
    }
    if info["syncing"]:
        start, current, highest = (int(info["syncing"][f"{name}Block"], 16) for name in ("starting", "current", "highest"))
        rows["syncing"] = f"block {current} of {highest}, from {start}"
    elif consensus:
        where = "waits for work" if consensus["round"] is None else f"round {int(consensus['round'], 16)}"
        rows["consensus"] = f"height {int(consensus['height'], 16)}, {where}, {consensus['step']}"
    if consensus:
        rows["epoch"] = int(consensus["epoch"], 16)
    return rows


def _print_validators(consensus: dict[str, Any]) -> None:
    total = sum(int(each["power"], 16) for each in consensus["validators"])
    click.echo(f"\n{'validator':42}  {'operator':42}  {'power':>7}  connected")
    for each in consensus["validators"]:
        power = int(each["power"], 16)
        is_own = each["address"] == consensus["address"]
        connected = "this node" if is_own else {True: "yes", False: "no", None: "unknown"}[each["connected"]]
        notes = ", proposes" if each["address"] == consensus["proposer"] else ""
        operator = checksum(bytes.fromhex(each["operator"][2:]))
        address = checksum(bytes.fromhex(each["address"][2:]))
        click.echo(f"{address}  {operator}  {100 * power / total:5.1f} %  {connected}{notes}")


def _print_peers(peers: list[dict[str, Any]]) -> None:
    click.echo(f"\n{'peer':42}  {'height':>10}  direction  software")
    for peer in peers:
        click.echo(f"{peer['nodeId']}  {int(peer['height'], 16):>10}  {peer['direction']:9}  {peer['software']}")


@click.group()
def query() -> None:
    """Read blocks, accounts, data sets and licences of a running node.

    \b
    Example:
      dmchain query balance 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266
    """


def _block_tag(text: str) -> str:
    if text in ("latest", "pending", "earliest", "safe", "finalized"):
        return text
    if text.startswith("0x"):
        return text
    if text.isdecimal():
        return hex(int(text))
    raise click.BadParameter(f"got {text!r}, expected a number, a hash, or latest, pending, earliest, safe, finalized")


_at_option = click.option("--block", "at", default="latest", show_default=True, help="State after this block.")


def _found(value: Any, what: str) -> Any:
    if value is None:
        raise ClientError(f"{what}: not found")
    return value


@query.command()
@click.argument("which", default="latest", metavar="[NUMBER|HASH|TAG]")
@click.option("--full", is_flag=True, help="With whole transactions.")
@rpc_option
@json_option
def block(which: str, full: bool, client: Client, as_json: bool) -> None:
    """Show a block; the latest one unless named."""
    tag = _block_tag(which)
    method = "eth_getBlockByHash" if len(tag) == 66 else "eth_getBlockByNumber"
    show(_found(client.call(method, tag, full), f"block {which}"), as_json)


@query.command("tx")
@click.argument("transaction_hash", type=HASH, metavar="HASH")
@rpc_option
@json_option
def transaction(transaction_hash: bytes, client: Client, as_json: bool) -> None:
    """Show a transaction, waiting or in a block."""
    shown = "0x" + transaction_hash.hex()
    show(_found(client.call("eth_getTransactionByHash", shown), f"transaction {shown}"), as_json)


@query.command()
@click.argument("transaction_hash", type=HASH, metavar="HASH")
@rpc_option
@json_option
def receipt(transaction_hash: bytes, client: Client, as_json: bool) -> None:
    """Show what a transaction did."""
    shown = "0x" + transaction_hash.hex()
    show(_found(client.call("eth_getTransactionReceipt", shown), f"receipt {shown}"), as_json)


@query.command()
@click.argument("address", type=ADDRESS)
@_at_option
@rpc_option
@json_option
def balance(address: bytes, at: str, client: Client, as_json: bool) -> None:
    """Show an account's balance in wei."""
    wei = int(client.call("eth_getBalance", "0x" + address.hex(), _block_tag(at)), 16)
    show({"address": checksum(address), "wei": str(wei)} if as_json else str(wei), as_json)


@query.command()
@click.argument("address", type=ADDRESS)
@_at_option
@rpc_option
@json_option
def nonce(address: bytes, at: str, client: Client, as_json: bool) -> None:
    """Show an account's nonce."""
    number = int(client.call("eth_getTransactionCount", "0x" + address.hex(), _block_tag(at)), 16)
    show({"address": checksum(address), "nonce": number} if as_json else str(number), as_json)


@query.command()
@click.argument("dataset_id", type=HASH, metavar="DATASET_ID")
@_at_option
@rpc_option
@json_option
def dataset(dataset_id: bytes, at: str, client: Client, as_json: bool) -> None:
    """Show a registered data set."""
    shown = "0x" + dataset_id.hex()
    show(_found(client.call("dm_getDataset", shown, _block_tag(at)), f"data set {shown}"), as_json)


@query.command()
@click.option("--owner", type=ADDRESS)
@click.option("--limit", type=click.IntRange(1, 100), default=25, show_default=True)
@click.option("--cursor", help="nextCursor of the page before.")
@click.option("--retired", is_flag=True, help="Retired ones, too.")
@rpc_option
@json_option
def datasets(owner: bytes | None, limit: int, cursor: str | None, retired: bool, client: Client, as_json: bool) -> None:
    """List registered data sets, a page at a time."""
    options: dict[str, Any] = {"limit": limit, "includeRetired": retired}
    if owner is not None:
        options["owner"] = "0x" + owner.hex()
    if cursor is not None:
        options["cursor"] = cursor
    page = client.call("dm_listDatasets", options)
    if as_json:
        show(page, True)
        return
    for entry in page["datasets"]:
        click.echo(f"{entry['datasetId']}  {entry['owner']}  {entry['cid']}")
    if page.get("nextCursor"):
        click.echo(f"more: --cursor {page['nextCursor']}", err=True)


@query.command("license")
@click.argument("dataset_id", type=HASH, metavar="DATASET_ID")
@click.argument("account", type=ADDRESS)
@_at_option
@rpc_option
@json_option
def license_of(dataset_id: bytes, account: bytes, at: str, client: Client, as_json: bool) -> None:
    """Show the licence that an account holds on a data set."""
    shown = "0x" + dataset_id.hex()
    answer = client.call("dm_getLicense", shown, "0x" + account.hex(), _block_tag(at))
    show(_found(answer, f"licence of {checksum(account)} on {shown}"), as_json)


@query.command("call")
@click.argument("to", type=ADDRESS)
@click.argument("signature", metavar="'NAME(TYPES)(RETURN TYPES)'")
@click.argument("arguments", nargs=-1)
@click.option("--from", "sender", type=ADDRESS)
@_at_option
@rpc_option
@json_option
def call(
    to: bytes,
    signature: str,
    arguments: tuple[str, ...],
    sender: bytes | None,
    at: str,
    client: Client,
    as_json: bool,
) -> None:
    """Call a contract without a transaction.

    \b
    Example:
      dmchain query call 0x000000000000000000000000000000000000da01 'isRegistered(bytes32)(bool)' 0x…
    """
    from dmchain.node.cli.abi import decode_result, encode_call, parse_signature

    parsed = parse_signature(signature)
    message = {"to": "0x" + to.hex(), "data": "0x" + encode_call(parsed, arguments).hex()}
    if sender is not None:
        message["from"] = "0x" + sender.hex()
    output = bytes.fromhex(client.call("eth_call", message, _block_tag(at))[2:])
    values = decode_result(parsed, output)
    if as_json:
        show(values, True)
    else:
        for value in values:
            click.echo(value)


@query.command()
@click.argument("method")
@click.argument("parameters", nargs=-1, metavar="[PARAMETER]...")
@rpc_option
def rpc(method: str, parameters: tuple[str, ...], client: Client) -> None:
    """Call any JSON-RPC method; parameters are JSON, or text as it stands. Prints the result as JSON.

    \b
    Example:
      dmchain query rpc evm_increaseTime 86400
    """
    show(client.call(method, *map(_json_or_text, parameters)), True)


def _json_or_text(parameter: str) -> Any:
    try:
        return json.loads(parameter)
    except ValueError:
        return parameter
