"""The ABI helpers against eth_abi, and on hostile input."""

from typing import Any

import eth_abi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmchain.marketplace_vm.precompiles import native
from dmchain.marketplace_vm.precompiles.abi import (
    AbiError,
    FunctionSpec,
    Parameter,
    encode_values,
    error,
    event,
    function,
    parse_parameters,
)

SPECS = [handler.spec for contract in native.CONTRACTS for handler in contract.handlers]


def values_of(name: str) -> st.SearchStrategy[Any]:
    if name.startswith("uint"):
        return st.integers(0, 2 ** int(name[4:]) - 1)
    if name == "bool":
        return st.booleans()
    if name == "address":
        return st.binary(min_size=20, max_size=20)
    if name == "bytes":
        return st.binary(max_size=130)
    if name == "string":
        return st.text(max_size=40)
    return st.binary(min_size=int(name[5:]), max_size=int(name[5:]))


def values_for(parameter: Parameter) -> st.SearchStrategy[Any]:
    kind = parameter.type
    one = (
        st.tuples(*[values_for(each) for each in kind.fields])
        if kind.fields
        else values_of(kind.name.removesuffix("[]"))
    )
    return st.lists(one, max_size=4).map(tuple) if kind.name.endswith("[]") else one


def normalise(value: Any) -> Any:
    """eth_abi gives addresses as text."""
    if isinstance(value, str) and value.startswith("0x") and len(value) == 42:
        return bytes.fromhex(value[2:])
    if isinstance(value, (tuple, list)):
        return tuple(normalise(each) for each in value)
    return value


@st.composite
def calls(draw: st.DrawFn) -> tuple[FunctionSpec, list[Any]]:
    spec = draw(st.sampled_from(SPECS))
    return spec, [draw(values_for(each)) for each in spec.inputs]


@given(calls())
def test_arguments_are_encoded_and_decoded_as_eth_abi_does(call: tuple[FunctionSpec, list[Any]]) -> None:
    spec, values = call
    types = [each.type.name for each in spec.inputs]
    encoded = eth_abi.encode(types, values)
    assert encode_values(spec.inputs, values) == encoded
    assert spec.decode_arguments(encoded) == values
    assert spec.decode_arguments(encoded + b"trailing") == values


@given(st.data())
def test_results_are_encoded_as_eth_abi_does(data: st.DataObject) -> None:
    spec = data.draw(st.sampled_from(SPECS))
    values = [data.draw(values_for(each)) for each in spec.outputs]
    assert spec.encode_result(*values) == eth_abi.encode([each.type.name for each in spec.outputs], values)


@given(calls(), st.data())
def test_damaged_arguments_are_refused_or_read_as_eth_abi_reads_them(
    call: tuple[FunctionSpec, list[Any]], data: st.DataObject
) -> None:
    spec, values = call
    encoded = bytearray(encode_values(spec.inputs, values))
    for _ in range(data.draw(st.integers(0, 3))):
        if encoded:
            place = data.draw(st.integers(0, len(encoded) - 1))
            encoded[place] = data.draw(st.integers(0, 255))
    damaged = bytes(encoded[: data.draw(st.integers(0, len(encoded)))])
    try:
        ours = spec.decode_arguments(damaged)
    except AbiError:
        ours = None
    try:
        theirs = normalise(eth_abi.decode([each.type.name for each in spec.inputs], damaged))
    except Exception:  # eth_abi also refuses dirty padding of `bytes`, which solc accepts
        theirs = None
    if theirs is not None:
        assert ours is not None and tuple(ours) == theirs
    if ours is not None:
        assert spec.decode_arguments(encode_values(spec.inputs, ours)) == ours


@given(st.sampled_from(SPECS), st.binary(max_size=400))
def test_decoding_is_total(spec: FunctionSpec, data: bytes) -> None:
    try:
        values = spec.decode_arguments(data)
    except AbiError:
        return
    assert len(values) == len(spec.inputs)


WORD = (32).to_bytes(32, "big")


@pytest.mark.parametrize(
    ("signature", "data"),
    [
        ("f(uint64 a)", b"\x01" + bytes(31)),
        ("f(address a)", b"\x01" + bytes(31)),
        ("f(bool a)", (2).to_bytes(32, "big")),
        ("f(bytes4 a)", bytes(31) + b"\x01"),
        ("f(bytes a)", WORD),
        ("f(bytes a)", b"\xff" * 32),
        ("f(bytes a)", WORD + (1).to_bytes(32, "big")),
        ("f(bytes a)", WORD + b"\xff" * 32 + bytes(32)),
        ("f(bytes32[] a)", WORD + (2).to_bytes(32, "big") + bytes(32)),
        ("f(bytes32[] a)", WORD + (1 << 251).to_bytes(32, "big") + bytes(32)),
        ("f(bytes32 a)", bytes(31)),
        ("f(string a)", WORD + (1).to_bytes(32, "big") + b"\xff" + bytes(31)),
    ],
)
def test_values_outside_their_type_or_the_data_are_refused(signature: str, data: bytes) -> None:
    with pytest.raises(AbiError):
        function(signature).decode_arguments(data)


def test_offsets_may_point_anywhere_inside_as_in_solc() -> None:
    both_here = (64).to_bytes(32, "big") * 2 + (3).to_bytes(32, "big") + b"abc"
    assert function("f(bytes a, bytes b)").decode_arguments(both_here) == [b"abc", b"abc"]


def test_our_own_values_out_of_range_are_errors_of_ours() -> None:
    for kind, value in [("uint8", 256), ("uint64", -1), ("address", b""), ("bytes32", b"short")]:
        with pytest.raises(ValueError):
            encode_values(parse_parameters(f"{kind} a", {}), [value])


def test_selectors_and_topics_are_those_of_solidity() -> None:
    assert function("transfer(address to, uint256 value) returns (bool)").selector.hex() == "a9059cbb"
    transfer = event("Transfer(address indexed from, address indexed to, uint256 value)")
    assert transfer.topic == 0xDDF252AD1BE2C89B69C2B068FC378DAA952BA7F163C4A11628F55A4DF523B3EF
    topics, data = transfer.encode(b"\x01" * 20, b"\x02" * 20, 5)
    assert topics[1:] == (int.from_bytes(b"\x01" * 20, "big"), int.from_bytes(b"\x02" * 20, "big"))
    assert data == (5).to_bytes(32, "big")
    assert error("Error(string reason)").selector.hex() == "08c379a0"
