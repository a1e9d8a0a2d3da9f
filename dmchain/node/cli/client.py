"""A small JSON-RPC client for the commands that talk to a running node."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

import click

from dmchain.chain.primitives.errors import DmchainError

DEFAULT_URL = "http://127.0.0.1:8545"
TIMEOUT_SECONDS = 30
MAX_ANSWER_BYTES = 64 * 1024 * 1024
POLL_SECONDS = 0.1


class ClientError(DmchainError):
    """The node could not be asked, or it answered with an error; `data` is the error's, what a contract reverted with."""

    def __init__(self, message: str, *, hint: str | None = None, data: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.data = data


class Client:
    """Calls methods of one endpoint."""

    def __init__(self, url: str) -> None:
        self.url = url
        # a proxy of the environment is for the outside world, not for one's own node
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method: str, *params: Any) -> Any:
        """Return the result; raises ClientError that names the method and what the node said."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        try:
            request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                document = json.loads(answer.read(MAX_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            text = error.read(200).decode("utf-8", "replace")
            raise ClientError(f"{self.url}: HTTP status {error.code}: {text}") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise ClientError(
                f"{self.url}: {reason}", hint="is the node running? --rpc URL or DMCHAIN_RPC names another"
            ) from error
        if not isinstance(document, dict) or ("result" not in document and "error" not in document):
            raise ClientError(f"{self.url}: the answer is not JSON-RPC")
        if "error" in document:
            problem = document["error"]
            text = problem.get("message", problem) if isinstance(problem, dict) else problem
            data = problem.get("data") if isinstance(problem, dict) else None
            raise ClientError(f"{method}: {text}" + (f" (data {data})" if data else ""), data=_revert_data(data))
        return document["result"]

    def wait_for_receipt(self, transaction_hash: str, timeout_seconds: float) -> Any:
        """Poll until the transaction is in a block; raises ClientError when it is not in time."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            receipt = self.call("eth_getTransactionReceipt", transaction_hash)
            if receipt is not None:
                return receipt
            if time.monotonic() > deadline:
                raise ClientError(
                    f"{transaction_hash} is in no block after {timeout_seconds:g} s",
                    hint=f"look again with `dmchain query receipt {transaction_hash}`",
                )
            time.sleep(POLL_SECONDS)


def _revert_data(data: Any) -> str | None:
    """The bytes in an error's data, as geth sends them and as nested ones do."""
    if isinstance(data, dict):
        data = data.get("data")
    is_hex = isinstance(data, str) and data[:2] == "0x" and len(data) % 2 == 0
    return data if is_hex and set(data[2:]) <= set("0123456789abcdefABCDEF") else None


def rpc_option(command: Any) -> Any:
    """Add --rpc, which gives the command a Client."""

    def connect(ctx: click.Context, param: click.Parameter, value: str) -> Client:
        return Client(value)

    default = os.environ.get("DMCHAIN_RPC", DEFAULT_URL)
    return click.option(
        "--rpc", "client", default=default, show_default=True, callback=connect, metavar="URL", help="The node to ask."
    )(command)


def show(value: Any, as_json: bool) -> None:
    """Print an answer: JSON, or a line a field."""
    if as_json or not isinstance(value, dict):
        click.echo(json.dumps(value, indent=None if as_json else 2) if not isinstance(value, str) or as_json else value)
        return
    width = max((len(name) for name in value), default=0)
    for name, entry in value.items():
        click.echo(f"{name:{width}}  {json.dumps(entry) if isinstance(entry, dict | list) else entry}")


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for a program to read.")
