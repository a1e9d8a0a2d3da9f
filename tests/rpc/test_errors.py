"""Error texts and data of failed calls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmchain.chain.primitives.revert_reason import decode_revert_reason
from dmchain.rpc.backend import ExecutionResult
from dmchain.rpc.errors import MethodNotFound, execution_error, quote


def error_string(text: bytes) -> bytes:
    size = len(text).to_bytes(32, "big")
    padding = bytes(-len(text) % 32)
    return bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + size + text + padding


def panic(code: int) -> bytes:
    return bytes.fromhex("4e487b71") + code.to_bytes(32, "big")


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (error_string(b"user error"), "user error"),
        (error_string(b""), ""),
        (error_string(b"\xff"), "\ufffd"),
        (error_string(b"x" * 40)[:-10], None if len(error_string(b"x" * 40)) - 10 < 4 + 64 + 40 else "x" * 40),
        (panic(0x01), "assert(false)"),
        (panic(0x11), "arithmetic underflow or overflow"),
        (panic(0x99), "unknown panic code: 0x99"),
        (b"", None),
        (b"wrong-calldatasize", None),
        (bytes.fromhex("08c379a0"), None),
        (bytes.fromhex("08c379a0") + b"\xff" * 64, None),
    ],
)
def test_reasons(output: bytes, reason: str | None) -> None:
    assert decode_revert_reason(output) == reason


@given(st.binary(max_size=200))
def test_any_output_is_taken(output: bytes) -> None:
    for selector in (b"", bytes.fromhex("08c379a0"), bytes.fromhex("4e487b71")):
        decode_revert_reason(selector + output)


def test_reverts_carry_their_data_and_other_failures_none() -> None:
    reverted = execution_error(ExecutionResult(b"", 1, "execution reverted", error_string(b"no")))
    assert (reverted.code, str(reverted)) == (3, "execution reverted: no")
    assert reverted.data == "0x" + error_string(b"no").hex()
    bare = execution_error(ExecutionResult(b"", 1, "execution reverted", b""))
    assert (bare.code, str(bare), bare.data) == (3, "execution reverted", "0x")
    failed = execution_error(ExecutionResult(b"", 1, "out of gas"))
    assert (failed.code, str(failed), failed.data) == (-32000, "out of gas", None)


def test_what_clients_send_is_repeated_only_in_part() -> None:
    assert str(MethodNotFound("eth_foo")) == "the method eth_foo does not exist/is not available"
    assert len(str(MethodNotFound("x" * 10_000))) < 200
    assert quote("short") == "short"
