"""Arguments of JSON-RPC methods: from parsed JSON to typed values, strict as geth is.

Every parser takes one JSON value and raises InvalidParams with what was expected and what was got; `bind` puts the
number and the name of the argument in front. Texts of geth that clients or conformance suites know are kept at the
start.

Quantities are "0x" and hex digits without leading zeros. Data is "0x" and an even number of digits. Upper case is fine.
Storage keys are the exception that geth makes too: any number of digits up to 64, "0x" optional.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from dmchain.chain.primitives.transaction import AccessList, Authorization
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.rpc.backend import AccountOverride, BlockOverrides, LogQuery, StateOverrides
from dmchain.rpc.errors import InvalidParams
from dmchain.rpc.jsonrpc import Params, describe

T = TypeVar("T")
Parser = Callable[[Any], Any]

MAX_TOPIC_POSITIONS = 4


# ---------------------------------------------------------------- scalars


def _hex_digits(value: Any) -> str:
    if type(value) is not str:
        raise InvalidParams(f"expected a hex string, got {describe(value)}")
    if value[:2] not in ("0x", "0X"):
        if not value:
            raise InvalidParams('empty hex string: got ""')
        raise InvalidParams(f"hex string without 0x prefix: got {describe(value)}")
    return value[2:]


def _to_int(digits: str, value: str) -> int:
    # int() would also take signs, spaces, underscores and digits of other alphabets
    if not digits.isascii() or not digits.isalnum():
        raise InvalidParams(f"invalid hex string: got {describe(value)}")
    try:
        return int(digits, 16)
    except ValueError:
        raise InvalidParams(f"invalid hex string: got {describe(value)}") from None


def parse_quantity(value: Any, bits: int = 256) -> int:
    """A number of at most `bits` bits in hex."""
    digits = _hex_digits(value)
    if not digits:
        raise InvalidParams('hex string "0x": expected at least one digit')
    if digits[0] == "0" and len(digits) > 1:
        raise InvalidParams(f"hex number with leading zero digits: got {describe(value)}")
    if len(digits) > bits // 4:
        raise InvalidParams(f"hex number > {bits} bits: got {describe(value)}")
    return _to_int(digits, value)


def parse_uint64(value: Any) -> int:
    return parse_quantity(value, 64)


def parse_number(value: Any) -> int:
    """A lenient count: a JSON integer, hex with or without leading zeros, or decimal digits; up to 256 bits.

    For feeHistory's block count (geth takes all of these) and the methods of devnets, where clients disagree.
    """
    if type(value) is int:
        if not 0 <= value < 2**256:
            raise InvalidParams(f"expected a number from 0 on, got {value}")
        return value
    if type(value) is float and value.is_integer() and 0 <= value <= 2**53:
        return int(value)
    if type(value) is str and value.isascii() and value.isdigit() and len(value) <= 78:
        return int(value)
    digits = _hex_digits(value)
    if not digits or len(digits.lstrip("0")) > 64 or len(digits) > 66:
        raise InvalidParams(f"expected a number of at most 256 bits, got {describe(value)}")
    return _to_int(digits, value)


def parse_data(value: Any) -> bytes:
    """Bytes in hex."""
    digits = _hex_digits(value)
    if len(digits) % 2:
        raise InvalidParams(f"hex string of odd length: got {len(digits)} digits")
    return _from_hex(digits)


def _from_hex(digits: str) -> bytes:
    try:
        data = bytes.fromhex(digits)
    except ValueError as error:
        raise InvalidParams(f"invalid hex string: {error}") from None
    if len(data) * 2 != len(digits):  # fromhex skips white space
        raise InvalidParams("invalid hex string: white space")
    return data


def _parse_sized(value: Any, size: int, what: str) -> bytes:
    digits = _hex_digits(value)
    if len(digits) != 2 * size:
        raise InvalidParams(f"hex string has length {len(digits)}, want {2 * size} for {what}")
    return _from_hex(digits)


def parse_address(value: Any) -> Address:
    """20 bytes; the checksum of EIP-55 is not looked at, as in geth."""
    return Address(_parse_sized(value, 20, "address"))


def parse_hash(value: Any) -> Hash32:
    return Hash32(_parse_sized(value, 32, "hash"))


def parse_storage_key(value: Any) -> int:
    """A storage slot: up to 32 bytes of hex, odd digits and a missing 0x allowed (ethers 5 and old web3 send them)."""
    if type(value) is not str:
        raise InvalidParams(f"storage key: expected a hex string, got {describe(value)}")
    digits = value[2:] if value[:2] in ("0x", "0X") else value
    if len(digits) > 64:
        raise InvalidParams(f"storage key too long (want at most 32 bytes): {describe(value)}")
    if not digits:
        return 0
    try:
        return _to_int(digits, value)
    except InvalidParams:
        raise InvalidParams(f"invalid hex in storage key: {describe(value)}") from None


def parse_bool(value: Any) -> bool:
    if type(value) is not bool:
        raise InvalidParams(f"expected true or false, got {describe(value)}")
    return value


def parse_string(value: Any) -> str:
    if type(value) is not str:
        raise InvalidParams(f"expected a string, got {describe(value)}")
    return value


def parse_object(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise InvalidParams(f"expected an object, got {describe(value)}")
    return value


def parse_any(value: Any) -> Any:
    return value


def parse_list(parse: Callable[[Any], T], max_length: int) -> Callable[[Any], list[T]]:
    """A parser for arrays of at most `max_length` values."""

    def parse_items(value: Any) -> list[T]:
        if type(value) is not list:
            raise InvalidParams(f"expected an array, got {describe(value)}")
        if len(value) > max_length:
            raise InvalidParams(f"array too long: got {len(value)} entries, the limit is {max_length}")
        return [_within(f"entry {index}", parse, item) for index, item in enumerate(value)]

    return parse_items


def _within(where: str, parse: Callable[[Any], T], value: Any) -> T:
    try:
        return parse(value)
    except InvalidParams as error:
        raise InvalidParams(f"{where}: {error}") from None


def _member(values: Mapping[str, Any], name: str, parse: Callable[[Any], T]) -> T | None:
    """An optional member: null is the same as absent."""
    value = values.get(name)
    return None if value is None else _within(name, parse, value)


# ---------------------------------------------------------------- blocks


class Tag(str):
    """A named block: one of the four below; "safe" and "finalized" mean the head here and never reach the methods."""

    __slots__ = ()


LATEST: Final = Tag("latest")
EARLIEST: Final = Tag("earliest")
PENDING_TAG: Final = Tag("pending")

_TAGS: Mapping[str, Tag] = {
    "latest": LATEST,
    "earliest": EARLIEST,
    "pending": PENDING_TAG,
    "safe": LATEST,  # one-block finality: the head can never be taken back
    "finalized": LATEST,
}

BlockNumber = Tag | int
BlockId = Tag | int | Hash32
"""A tag, a height, or a block hash (32 bytes)."""


def parse_block_number(value: Any) -> BlockNumber:
    """A tag or a height."""
    if type(value) is str:
        tag = _TAGS.get(value)
        if tag is not None:
            return tag
    return parse_quantity(value, 64)


def parse_block_id(value: Any) -> BlockId:
    """A tag, a height, a bare 32-byte hash, or EIP-1898's object. `requireCanonical` is always fulfilled here."""
    if type(value) is str:
        if len(value) == 66 and value[:2] in ("0x", "0X"):
            return parse_hash(value)
        return parse_block_number(value)
    if type(value) is not dict:
        raise InvalidParams(f"expected a block tag, number, hash or object, got {describe(value)}")
    number = _member(value, "blockNumber", parse_block_number)
    block_hash = _member(value, "blockHash", parse_hash)
    _member(value, "requireCanonical", parse_bool)
    if number is not None and block_hash is not None:
        raise InvalidParams("cannot specify both BlockHash and BlockNumber, choose one or the other")
    if block_hash is not None:
        return block_hash
    if number is not None:
        return number
    raise InvalidParams("expected blockHash or blockNumber in the object, got neither")


# ---------------------------------------------------------------- calls


@dataclass(frozen=True, slots=True)
class TransactionArgs:
    """The transaction object of eth_call, eth_sendTransaction and their kin; None for what was not given."""

    sender: Address | None = None
    to: Address | None = None
    gas: int | None = None
    gas_price: int | None = None
    max_fee_per_gas: int | None = None
    max_priority_fee_per_gas: int | None = None
    value: int | None = None
    nonce: int | None = None
    data: bytes | None = None
    access_list: AccessList | None = None
    chain_id: int | None = None
    max_fee_per_blob_gas: int | None = None
    blob_versioned_hashes: tuple[bytes, ...] | None = None
    authorization_list: tuple[Authorization, ...] | None = None
    type: int | None = None


MAX_ACCESS_LIST_ENTRIES = 10_000
"""More would not fit the gas of a block: 2400 gas each."""
_MAX_AUTHORIZATIONS = 2_000
_MAX_BLOBS = 128


def parse_transaction_args(value: Any) -> TransactionArgs:
    """Unknown members (blobs, commitments, proofs, ...) are ignored: clients send more than a call needs."""
    values = parse_object(value)
    args = TransactionArgs(
        sender=_member(values, "from", parse_address),
        to=_member(values, "to", parse_address),
        gas=_member(values, "gas", parse_uint64),
        gas_price=_member(values, "gasPrice", parse_quantity),
        max_fee_per_gas=_member(values, "maxFeePerGas", parse_quantity),
        max_priority_fee_per_gas=_member(values, "maxPriorityFeePerGas", parse_quantity),
        value=_member(values, "value", parse_quantity),
        nonce=_member(values, "nonce", parse_uint64),
        data=_call_data(values),
        access_list=_member(values, "accessList", parse_access_list),
        chain_id=_member(values, "chainId", parse_quantity),
        max_fee_per_blob_gas=_member(values, "maxFeePerBlobGas", parse_quantity),
        blob_versioned_hashes=_tuple(_member(values, "blobVersionedHashes", parse_list(parse_hash, _MAX_BLOBS))),
        authorization_list=_tuple(
            _member(values, "authorizationList", parse_list(parse_authorization, _MAX_AUTHORIZATIONS))
        ),
        type=_member(values, "type", lambda item: parse_number_up_to(item, 4)),
    )
    _check_fees(args)
    return args


def _tuple(items: Sequence[T] | None) -> tuple[T, ...] | None:
    return None if items is None else tuple(items)


def parse_number_up_to(value: Any, limit: int) -> int:
    number = parse_number(value)
    if number > limit:
        raise InvalidParams(f"expected at most {limit}, got {number}")
    return number


def _call_data(values: Mapping[str, Any]) -> bytes | None:
    data = _member(values, "data", parse_data)
    call_input = _member(values, "input", parse_data)
    if data is not None and call_input is not None and data != call_input:
        raise InvalidParams(
            'both "data" and "input" are set and not equal. Please use "input" to pass transaction call data'
        )
    return data if call_input is None else call_input


def _check_fees(args: TransactionArgs) -> None:
    cap, tip = args.max_fee_per_gas, args.max_priority_fee_per_gas
    if args.gas_price is not None and (cap is not None or tip is not None):
        raise InvalidParams("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
    if cap is not None and tip is not None and cap < tip:
        raise InvalidParams(f"maxFeePerGas ({cap}) < maxPriorityFeePerGas ({tip})")


def parse_access_list(value: Any) -> AccessList:
    if type(value) is not list:
        raise InvalidParams(f"expected an array, got {describe(value)}")
    if len(value) > MAX_ACCESS_LIST_ENTRIES:
        raise InvalidParams(f"array too long: got {len(value)} entries, the limit is {MAX_ACCESS_LIST_ENTRIES}")
    entries = []
    for index, item in enumerate(value):
        entry = _within(f"entry {index}", parse_object, item)
        address = _within(f"entry {index}: address", parse_address, entry.get("address"))
        keys = entry.get("storageKeys") or []
        slots = _within(f"entry {index}: storageKeys", parse_list(parse_hash, 100_000), keys)
        entries.append((address, tuple([int.from_bytes(slot, "big") for slot in slots])))
    return tuple(entries)


def parse_authorization(value: Any) -> Authorization:
    """An EIP-7702 authorization; `v` may stand for `yParity`."""
    values = parse_object(value)

    def required(name: str, parse: Callable[[Any], T]) -> T:
        if values.get(name) is None:
            raise InvalidParams(f"missing member {name}")
        return _within(name, parse, values[name])

    parity = values.get("yParity")
    if parity is None:
        parity = values.get("v")
    return Authorization(
        chain_id=required("chainId", parse_number),
        address=required("address", parse_address),
        nonce=required("nonce", parse_number),
        y_parity=_within("yParity", lambda item: parse_number_up_to(item, 255), parity),
        r=required("r", parse_number),
        s=required("s", parse_number),
    )


# ---------------------------------------------------------------- overrides

_MAX_OVERRIDES = 10_000


def parse_state_overrides(value: Any) -> StateOverrides:
    """geth's third parameter of eth_call: changes by address."""
    values = parse_object(value)
    if len(values) > _MAX_OVERRIDES:
        raise InvalidParams(f"too many accounts: got {len(values)}, the limit is {_MAX_OVERRIDES}")
    overrides = {}
    for key, item in values.items():
        address = parse_address(key)
        overrides[address] = _within(key, _parse_account_override, {} if item is None else item)
    return overrides


def _parse_account_override(value: Any) -> AccountOverride:
    values = parse_object(value)
    storage = _member(values, "state", _parse_slots)
    diff = _member(values, "stateDiff", _parse_slots)
    if storage is not None and diff is not None:
        raise InvalidParams("account has both 'state' and 'stateDiff'")
    return AccountOverride(
        nonce=_member(values, "nonce", parse_uint64),
        balance=_member(values, "balance", parse_number),
        code=_member(values, "code", parse_data),
        storage=storage,
        storage_diff=diff,
        move_precompile_to=_member(values, "movePrecompileToAddress", parse_address),
    )


def _parse_slots(value: Any) -> dict[int, int]:
    values = parse_object(value)
    if len(values) > _MAX_OVERRIDES:
        raise InvalidParams(f"too many slots: got {len(values)}, the limit is {_MAX_OVERRIDES}")
    return {parse_storage_key(key): _within(key, parse_storage_key, item) for key, item in values.items()}


def parse_block_overrides(value: Any) -> BlockOverrides:
    """geth's names; `random` is `prevRandao` in the specification, `coinbase` is `feeRecipient`: both are taken."""
    values = parse_object(value)

    def either(first: str, second: str, parse: Callable[[Any], T]) -> T | None:
        found = _member(values, first, parse)
        return _member(values, second, parse) if found is None else found

    return BlockOverrides(
        number=_member(values, "number", lambda item: _fits(parse_number(item), 64)),
        timestamp=either("time", "timestamp", lambda item: _fits(parse_number(item), 64)),
        gas_limit=_member(values, "gasLimit", lambda item: _fits(parse_number(item), 64)),
        coinbase=either("feeRecipient", "coinbase", parse_address),
        prev_randao=either("prevRandao", "random", parse_hash),
        base_fee=either("baseFeePerGas", "baseFee", parse_number),
        blob_base_fee=_member(values, "blobBaseFee", parse_number),
    )


def _fits(number: int, bits: int) -> int:
    if number >> bits:
        raise InvalidParams(f"expected at most {bits} bits, got {number:#x}")
    return number


# ---------------------------------------------------------------- log filters


@dataclass(frozen=True, slots=True)
class LogFilter:
    """The filter object of eth_getLogs, eth_newFilter and eth_subscribe before heights are known.

    Either `block_hash` or the range; None in the range means it was not given.
    """

    first: BlockNumber | None
    last: BlockNumber | None
    block_hash: Hash32 | None
    addresses: frozenset[Address]
    topics: tuple[frozenset[bytes], ...]

    @property
    def terms(self) -> int:
        """How many addresses and topics: what a filter costs to keep and to match."""
        return len(self.addresses) + sum(map(len, self.topics))

    def query(self, first: int, last: int) -> LogQuery:
        return LogQuery(first, last, self.addresses, self.topics)


def log_filter_parser(max_addresses: int, max_topics: int) -> Callable[[Any], LogFilter]:
    """A parser with limits on the alternatives; see MethodLimits."""
    parse_addresses = parse_list(parse_address, max_addresses)
    parse_alternatives = parse_list(parse_hash, max_topics)

    def parse_position(value: Any) -> frozenset[bytes]:
        if value is None:
            return frozenset()
        if type(value) is str:
            return frozenset((parse_hash(value),))
        if type(value) is list and None in value:
            return frozenset()  # geth: a null among the alternatives matches anything
        return frozenset(parse_alternatives(value))

    def parse_topics(value: Any) -> tuple[frozenset[bytes], ...]:
        if type(value) is str or type(value) is not list:
            raise InvalidParams(f"expected an array, got {describe(value)}")
        if len(value) > MAX_TOPIC_POSITIONS:
            raise InvalidParams(f"exceed max topics: got {len(value)} positions, the limit is {MAX_TOPIC_POSITIONS}")
        return tuple([_within(f"position {at}", parse_position, item) for at, item in enumerate(value)])

    def parse_filter(value: Any) -> LogFilter:
        values = parse_object(value)
        first = _member(values, "fromBlock", parse_block_number)
        last = _member(values, "toBlock", parse_block_number)
        block_hash = _member(values, "blockHash", parse_hash)
        if block_hash is not None and (first is not None or last is not None):
            raise InvalidParams("cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other")
        address = values.get("address")
        if type(address) is str:
            addresses = [_within("address", parse_address, address)]
        else:
            addresses = [] if address is None else _within("address", parse_addresses, address)
        topics = _member(values, "topics", parse_topics) or ()
        return LogFilter(first, last, block_hash, frozenset(addresses), topics)

    return parse_filter


# ---------------------------------------------------------------- binding

REQUIRED: Final = object()


class Argument(NamedTuple):
    """One parameter of a method: its name (for by-name calls and messages), parser, and value when absent or null."""

    name: str
    parse: Parser
    default: Any = REQUIRED


def bind(params: Params, arguments: Sequence[Argument]) -> list[Any]:
    """Typed values for `arguments` from an array or a by-name object; raises InvalidParams that names the argument."""
    values = params if type(params) is list else _by_name(params, arguments)  # type: ignore[arg-type]
    if len(values) > len(arguments):
        raise InvalidParams(f"too many arguments, want at most {len(arguments)}: got {len(values)}")
    bound = []
    given = len(values)
    for index, argument in enumerate(arguments):
        value = values[index] if index < given else None
        if value is None:
            if argument.default is REQUIRED:
                raise InvalidParams(f"missing value for required argument {index} ({argument.name})")
            bound.append(argument.default)
            continue
        try:
            bound.append(argument.parse(value))
        except InvalidParams as error:
            raise InvalidParams(f"invalid argument {index} ({argument.name}): {error}") from None
    return bound


def _by_name(params: dict[str, Any], arguments: Sequence[Argument]) -> list[Any]:
    names = [argument.name for argument in arguments]
    unknown = [name for name in params if name not in names]
    if unknown:
        expected = ", ".join(names) or "none"
        raise InvalidParams(f"unknown argument {describe(unknown[0])}: expected one of {expected}")
    return [params.get(name) for name in names]
