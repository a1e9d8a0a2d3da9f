"""From calldata to a handler and back: what every native precompile does first and last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dmchain.marketplace_vm.precompiles import gas
from dmchain.marketplace_vm.precompiles.abi import AbiError, ErrorSpec, EventSpec, FunctionSpec, count_words, error
from dmchain.marketplace_vm.precompiles.host import Host

MAX_CALLDATA_BYTES: Final = 16_384
"""Longer calldata is refused before it is copied. hasLicenses with 256 ids takes 8292 bytes, a registration 1284."""

NOT_PAYABLE = error("NotPayable(uint256 value)")
UNKNOWN_FUNCTION = error("UnknownFunction(bytes4 selector)")
INVALID_CALLDATA = error("InvalidCalldata()")
DIRECT_CALL_ONLY = error("DirectCallOnly()")
COMMON_ERRORS: Final = (NOT_PAYABLE, UNKNOWN_FUNCTION, INVALID_CALLDATA, DIRECT_CALL_ONLY)


@dataclass(frozen=True, slots=True)
class Handler:
    """An external function with its code.

    `run(host, *arguments)` returns the encoded result. `gas` pays for everything in it that does not depend on input,
    storage and logs excepted; the handler itself charges for the rest, before doing it.
    """

    spec: FunctionSpec
    gas: int
    run: Callable[..., bytes]


@dataclass(frozen=True, slots=True)
class NativeContract:
    """A precompile: its functions by selector, and the errors and events of its interface."""

    name: str
    address: bytes
    handlers: Sequence[Handler]
    errors: Sequence[ErrorSpec]
    events: Sequence[EventSpec]
    by_selector: Mapping[bytes, Handler] = field(init=False)
    is_payable: bool = field(init=False)
    """Whether any function takes coin."""

    def __post_init__(self) -> None:
        table = {handler.spec.selector: handler for handler in self.handlers}
        if len(table) != len(self.handlers):
            raise ValueError(f"{self.name}: two functions have the same selector")
        object.__setattr__(self, "by_selector", table)
        object.__setattr__(self, "is_payable", any(each.spec.mutability == "payable" for each in self.handlers))

    def run(self, host: Host, data: bytes | memoryview) -> bytes:
        """Execute one call and return its output.

        Raises Reverted, or what the host raises for out of gas and for writes of a static call.
        """
        size = len(data)
        host.charge(gas.ENTRY)
        if host.value and not self.is_payable:
            raise NOT_PAYABLE(host.value)
        if size > MAX_CALLDATA_BYTES:
            raise INVALID_CALLDATA()
        host.charge(gas.CALLDATA_WORD * count_words(size))
        calldata = bytes(data)
        handler = self.by_selector.get(calldata[:4])
        if handler is None:
            raise UNKNOWN_FUNCTION(calldata[:4].ljust(4, b"\0"))
        if host.value and handler.spec.mutability != "payable":
            raise NOT_PAYABLE(host.value)
        host.charge(handler.gas)
        try:
            arguments: list[Any] = handler.spec.decode_arguments(calldata[4:])
        except AbiError as problem:
            raise INVALID_CALLDATA() from problem
        output = handler.run(host, *arguments)
        host.charge(gas.OUTPUT_WORD * count_words(len(output)))
        return output
