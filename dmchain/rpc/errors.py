"""JSON-RPC errors: code, text and data, with the texts that client libraries match on.

Codes: JSON-RPC 2.0 section 5.1, EIP-1474 (-32005 limit exceeded), EIP-4444 (4444 pruned history); geth's -32000 for
what the pool or the state refuses, -32002 for timeouts and 3 for reverts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.primitives.revert_reason import decode_revert_reason

if TYPE_CHECKING:
    from dmchain.rpc.backend import ExecutionResult

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
SERVER_ERROR = -32000
TIMEOUT = -32002
LIMIT_EXCEEDED = -32005
EXECUTION_REVERTED = 3
PRUNED_HISTORY = 4444

_MAX_QUOTED_CHARACTERS = 100
"""A client's own text is repeated in errors only up to here."""


def quote(text: str) -> str:
    """Shorten a client's text for an error message."""
    if len(text) <= _MAX_QUOTED_CHARACTERS:
        return text
    return f"{text[:_MAX_QUOTED_CHARACTERS]}… ({len(text)} characters)"


class RpcError(DmchainError):
    """An error that becomes the `error` member of an answer. `data` must be fit for JSON; None leaves it out."""

    code = SERVER_ERROR

    def __init__(self, message: str, *, data: Any = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.data = data


class ParseError(RpcError):
    """The body is not JSON."""

    code = PARSE_ERROR


class InvalidRequest(RpcError):
    """JSON, but not a JSON-RPC 2.0 request."""

    code = INVALID_REQUEST


class MethodNotFound(RpcError):
    """The wording is geth's: hardhat, foundry and viem look for it."""

    code = METHOD_NOT_FOUND

    def __init__(self, method: str) -> None:
        super().__init__(f"the method {quote(method)} does not exist/is not available")


class InvalidParams(RpcError):
    code = INVALID_PARAMS


class InternalError(RpcError):
    """A bug of ours: the client learns nothing but that; the log has the traceback."""

    code = INTERNAL_ERROR

    def __init__(self) -> None:
        super().__init__("internal error")


class CallTimeout(RpcError):
    """The work took longer than the server lets one request take."""

    code = TIMEOUT

    def __init__(self, message: str = "request timed out") -> None:
        super().__init__(message)


class LimitExceeded(RpcError):
    """A limit of this server; the message names the limit."""

    code = LIMIT_EXCEEDED


class TooManyResults(LimitExceeded):
    """Wording that clients look for before they halve a range of blocks."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"query returned more than {limit} results", hint="ask for a smaller range of blocks")


class ServerBusy(LimitExceeded):
    """Too much is under way already, of all clients together."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"server is busy: {reason}", hint="try again later")


class StateUnavailable(RpcError):
    """The state of an old block is no longer kept."""

    def __init__(self, height: int, oldest: int) -> None:
        super().__init__(
            f"historical state of block {height} is not available, the oldest kept is {oldest}",
            hint="ask a node that runs with --archive",
        )


class PrunedHistory(RpcError):
    """A block that is older than what this node has: it began with a snapshot. Code and text as in geth (EIP-4444)."""

    code = PRUNED_HISTORY

    def __init__(self, height: int, oldest: int) -> None:
        super().__init__(
            f"pruned history unavailable: block {height}, the oldest kept is {oldest}",
            hint="ask a node that has synced all blocks",
        )


class BlockNotFound(RpcError):
    """A method that cannot answer null was asked about a block that does not exist."""

    def __init__(self, message: str = "header not found") -> None:
        super().__init__(message)


class ExecutionFailed(RpcError):
    """The EVM ran and failed without a revert (out of gas, invalid opcode, ...)."""


class ExecutionReverted(RpcError):
    """The EVM ran into REVERT; `data` is the output as hex, the reason is decoded into the text."""

    code = EXECUTION_REVERTED

    def __init__(self, output: bytes) -> None:
        reason = decode_revert_reason(output)
        text = "execution reverted" if reason is None else f"execution reverted: {reason}"
        super().__init__(text, data="0x" + output.hex())


def execution_error(result: ExecutionResult) -> RpcError:
    """The error of a failed call: the same from eth_call and eth_estimateGas."""
    if result.revert_data is not None:
        return ExecutionReverted(result.revert_data)
    return ExecutionFailed(result.error or "execution failed")
