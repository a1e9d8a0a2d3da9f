"""eth_call, eth_estimateGas and eth_createAccessList without JSON-RPC around them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from eth._utils.address import generate_contract_address
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.genesis import GenesisAccount
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.errors import (
    CreateNotAllowed,
    FeeCapTooLow,
    FloorGasTooLow,
    InitcodeTooLarge,
    InsufficientFunds,
    IntrinsicGasTooLow,
    TipAboveFeeCap,
    TransactionTypeNotSupported,
)
from dmchain.chain.primitives.transaction import sign_authorization
from dmchain.chain.primitives.types import ZERO_ADDRESS, Address
from dmchain.marketplace_vm.call_types import AccessListResult, CallResult
from dmchain.marketplace_vm.overrides import InvalidOverride
from dmchain.marketplace_vm.precompiles import CID_REGISTRY
from dmchain.marketplace_vm.precompiles.cid_registry import CONTRACT as REGISTRY
from dmchain.marketplace_vm.precompiles.layout import GOVERNANCE_SLOT
from dmchain.marketplace_vm.vm import ExecutionStopped
from dmchain.rpc.estimate import estimate_gas
from tests.marketplace_vm.assembler import asm, initcode_of, push
from tests.marketplace_vm.world import (
    ALICE,
    BASE_FEE,
    BOB,
    CHAIN_ID,
    COINBASE,
    CONTRACT,
    FUNDS,
    GWEI,
    NOWHERE,
    POOR,
    SECOND,
    World,
    transaction,
)

pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT")

CAP = 50_000_000
RETURN_WORD = "0 MSTORE 32 0 RETURN"


@dataclass(frozen=True)
class Message:
    """The same fields as rpc.backend.CallMessage."""

    sender: Address = POOR
    to: bytes = CONTRACT
    data: bytes = b""
    value: int = 0
    gas: int | None = None
    max_fee_per_gas: int | None = None
    max_priority_fee_per_gas: int | None = None
    nonce: int | None = None
    access_list: Any = ()
    authorization_list: Any = ()
    blob_versioned_hashes: tuple[bytes, ...] = ()
    max_fee_per_blob_gas: int | None = None


@dataclass(frozen=True)
class Account:
    """The same fields as rpc.backend.AccountOverride."""

    nonce: int | None = None
    balance: int | None = None
    code: bytes | None = None
    storage: dict[int, int] | None = None
    storage_diff: dict[int, int] | None = None
    move_precompile_to: Address | None = None


@dataclass(frozen=True)
class Block:
    """The same fields as rpc.backend.BlockOverrides."""

    number: int | None = None
    timestamp: int | None = None
    gas_limit: int | None = None
    coinbase: Address | None = None
    prev_randao: Any = None
    base_fee: int | None = None
    blob_base_fee: int | None = None


@dataclass
class Stop:
    requested: bool = False


def call(world: World, message: Message | None = None, *, gas_cap: int = CAP, **options: Any) -> CallResult:
    return world.view().call(message or Message(), gas_cap=gas_cap, **options)


def word(result: CallResult) -> int:
    assert result.error is None
    return int.from_bytes(result.output, "big")


def returning(program: str) -> bytes:
    return asm(f"{program} {RETURN_WORD}")


# ---------------------------------------------------------------- results


def test_a_call_returns_output_and_logs_and_leaves_nothing_behind() -> None:
    world = World(asm("0 SLOAD 1 ADD DUP1 0 SSTORE 7 0 0 LOG1 0 MSTORE 32 0 RETURN"), storage={0: 41})
    view = world.view()
    for _ in range(3):
        result = view.call(Message(), gas_cap=CAP)
        assert word(result) == 42
        assert [log.topics for log in result.logs] == [((7).to_bytes(32, "big"),)]
    assert world.store.get(b"s" + CONTRACT + bytes(32)) == bytes([41])


def test_a_revert_gives_its_data_and_no_logs() -> None:
    result = call(World(asm("7 0 0 LOG1 0xdeadbeef 0 MSTORE 4 28 REVERT")))
    assert (result.error, result.revert_data, result.logs) == ("execution reverted", bytes.fromhex("deadbeef"), ())


def test_a_call_into_nothing_succeeds() -> None:
    assert call(World(), Message(to=NOWHERE)) == CallResult(b"", 21_000)


def test_a_creation_returns_the_deployed_code_and_its_address() -> None:
    runtime = asm("1 2 3")
    result = call(World(), Message(to=b"", data=initcode_of(runtime), sender=ALICE.address))
    assert result.output == runtime
    assert result.contract_address == bytes(generate_contract_address(ALICE.address, 0))  # type: ignore[arg-type]


def test_the_nonce_of_the_message_decides_the_address_of_a_creation_alone() -> None:
    message = Message(to=b"", data=returning("ADDRESS"), sender=ALICE.address, nonce=5)
    assert word(call(World(), message)).to_bytes(20, "big") == generate_contract_address(ALICE.address, 5)  # type: ignore[arg-type]


WORDS = [
    ("GAS 2 MSTORE POP POP", "stack underflow (0 <=> 1)"),
    ("ADD", "stack underflow (0 <=> 2)"),
    ("1 SWAP2", "stack underflow (1 <=> 3)"),
    ("1 CALL", "stack underflow (1 <=> 7)"),
    (":loop PUSH0 @loop JUMP", "stack limit reached 1024 (1023)"),
    ("INVALID", "invalid opcode: INVALID"),
    (".21", "invalid opcode: opcode 0x21 not defined"),
    ("3 JUMP", "invalid jump destination"),
    ("1 3 JUMPI", "invalid jump destination"),
    ("0x5b 1 JUMP", "invalid jump destination"),
    (":loop @loop JUMP", "out of gas"),
    ("0 1000000000000 MSTORE", "out of gas"),
    ("1 0 0 RETURNDATACOPY", "return data out of bounds"),
]


@pytest.mark.parametrize(("program", "text"), WORDS)
def test_failures_are_told_in_geths_words(program: str, text: str) -> None:
    result = call(World(asm(program)), gas_cap=200_000)
    assert (result.error, result.revert_data, result.output, result.gas_used) == (text, None, b"", 200_000)


def test_a_reason_that_takes_long_to_find_is_told_in_short() -> None:
    """The sizes of the stack take a second run, one opcode after the other, which no client may make endless."""
    loop = "200000 :again 1 SWAP1 SUB DUP1 @again JUMPI POP POP"
    assert call(World(asm(loop))).error == "stack underflow"
    hashes = "0 0 0 0 2 GAS STATICCALL POP POP"
    assert call(World(asm(hashes))).error == "stack underflow"
    assert call(World(asm(hashes)), gas_cap=100_000).error == "stack underflow (0 <=> 1)"


@pytest.mark.parametrize(
    ("initcode", "text"),
    [
        ("24577 0 RETURN", "max code size exceeded: limit 24576"),
        ("24000 0 RETURN", "contract creation code storage out of gas"),
        ("0xef 0 MSTORE8 1 0 RETURN", "invalid code: must not begin with 0xef"),
    ],
)
def test_failed_deployments_are_told_in_geths_words(initcode: str, text: str) -> None:
    assert call(World(), Message(to=b"", data=asm(initcode)), gas_cap=1_000_000).error == text


def test_a_creation_where_storage_is_collides() -> None:
    taken = Address(bytes(generate_contract_address(ALICE.address, 0)))  # type: ignore[arg-type]
    world = World(more={taken: GenesisAccount(0, 0, b"", ((1, 1),))})
    message = Message(to=b"", data=b"\0", sender=ALICE.address)
    assert call(world, message, gas_cap=100_000).error == "contract address collision"


@pytest.mark.parametrize("opcode", ["1 1 SSTORE", "1 1 TSTORE", "0 0 LOG0", "0 0 0 CREATE", "0 SELFDESTRUCT"])
def test_writes_under_staticcall_are_refused(opcode: str) -> None:
    static = returning(f"0 0 0 0 0x{SECOND.hex()} 50000 STATICCALL")
    assert word(call(World(static, asm(opcode)))) == 0


# ---------------------------------------------------------------- fees and funds


def test_without_a_fee_gas_price_and_base_fee_are_zero() -> None:
    assert word(call(World(returning("GASPRICE BASEFEE ADD")))) == 0
    assert word(call(World(returning("GASPRICE BASEFEE ADD")), Message(max_fee_per_gas=0))) == 0


def test_with_a_fee_both_are_real() -> None:
    message = Message(ALICE.address, max_fee_per_gas=BASE_FEE + 5, max_priority_fee_per_gas=2)
    assert word(call(World(returning("GASPRICE")), message)) == BASE_FEE + 2
    assert word(call(World(returning("BASEFEE")), message)) == BASE_FEE


def test_with_a_fee_the_sender_must_be_able_to_pay_it() -> None:
    message = Message(POOR, gas=100_000, max_fee_per_gas=BASE_FEE)
    wanted = 100_000 * BASE_FEE
    with pytest.raises(InsufficientFunds, match=rf"insufficient funds for gas \* price \+ value.*have 0 want {wanted}"):
        call(World(b""), message)


def test_with_a_fee_and_no_gas_limit_the_sender_spends_what_there_is() -> None:
    world = World(returning("GAS"), more={POOR: GenesisAccount(100_000 * BASE_FEE + 3)})
    result = call(world, Message(POOR, max_fee_per_gas=BASE_FEE, value=3))
    assert word(result) < 100_000 - 21_000
    assert word(call(world, Message(POOR))) > CAP - 100_000


def test_fee_caps_are_checked_as_in_a_block() -> None:
    with pytest.raises(FeeCapTooLow):
        call(World(b""), Message(ALICE.address, max_fee_per_gas=BASE_FEE - 1))
    with pytest.raises(TipAboveFeeCap):
        call(World(b""), Message(ALICE.address, max_fee_per_gas=BASE_FEE, max_priority_fee_per_gas=BASE_FEE + 1))


def test_value_needs_funds_even_when_gas_is_free() -> None:
    world = World(returning("CALLVALUE"))
    assert word(call(world, Message(ALICE.address, value=FUNDS))) == FUNDS
    with pytest.raises(InsufficientFunds, match="insufficient funds"):
        call(world, Message(ALICE.address, value=FUNDS + 1))


def test_a_contract_may_be_the_sender() -> None:
    assert word(call(World(returning("CALLER")), Message(sender=CONTRACT))) == int.from_bytes(CONTRACT, "big")


# ---------------------------------------------------------------- gas


def test_gas_is_the_limit_asked_for_within_the_cap() -> None:
    world = World(returning("GAS"))
    assert word(call(world, Message(gas=30_000))) < 30_000 - 21_000
    assert word(call(world, Message(gas=10**12), gas_cap=40_000)) < 40_000 - 21_000
    assert word(call(world, Message())) > CAP - 22_000


def test_gas_below_what_is_due_first_is_refused() -> None:
    with pytest.raises(IntrinsicGasTooLow):
        call(World(b""), Message(gas=20_999))
    with pytest.raises(FloorGasTooLow):
        call(World(b""), Message(gas=21_000 + 16 * 100, data=b"\1" * 100))
    with pytest.raises(InitcodeTooLarge):
        call(World(b""), Message(to=b"", data=bytes(49_153)))


def test_authorizations_hold_for_the_call() -> None:
    entry = sign_authorization(BOB, chain_id=CHAIN_ID, address=CONTRACT, nonce=0)
    world = World(returning("ADDRESS"))
    message = Message(to=BOB.address, authorization_list=(entry,))
    assert word(call(world, message)) == int.from_bytes(BOB.address, "big")
    assert call(world, Message(to=BOB.address)).output == b""
    with pytest.raises(CreateNotAllowed):
        call(world, Message(to=b"", authorization_list=(entry,)))


def test_blobs_need_a_chain_that_has_them() -> None:
    with pytest.raises(TransactionTypeNotSupported, match="type 3"):
        call(World(b""), Message(blob_versioned_hashes=(b"\x01" + bytes(31),)))


# ---------------------------------------------------------------- overrides


def test_state_overrides_change_this_call_alone() -> None:
    world = World(returning("0 SLOAD 1 SLOAD ADD"), storage={0: 10, 1: 20})
    view = world.view()

    def run(**account: Any) -> int:
        return word(view.call(Message(), gas_cap=CAP, state_overrides={CONTRACT: Account(**account)}))

    plain = word(view.call(Message(), gas_cap=CAP))
    assert plain == 30
    assert run(storage_diff={0: 5}) == 25
    assert run(storage={0: 5}) == 5
    assert run(code=returning("99")) == 99
    assert run(code=returning("SELFBALANCE"), balance=123) == 123
    assert word(view.call(Message(), gas_cap=CAP)) == plain


def test_overridden_storage_is_what_was_there_before_the_transaction() -> None:
    """Refunds and prices of SSTORE depend on it (EIP-2200)."""
    clears = asm("0 0 SSTORE")
    real = call(World(clears, storage={0: 7}))
    faked = call(World(clears), state_overrides={CONTRACT: Account(storage_diff={0: 7})})
    assert (real.gas_used, real.gas_refunded) == (faked.gas_used, faked.gas_refunded)
    assert real.gas_refunded > 0


def test_nonce_override_moves_the_address_of_creations() -> None:
    world = World(returning("0 0 0 CREATE"))
    result = call(world, state_overrides={CONTRACT: Account(nonce=77)})
    assert word(result).to_bytes(20, "big") == generate_contract_address(CONTRACT, 77)  # type: ignore[arg-type]


SHA256 = Address(bytes(19) + b"\x02")


def test_a_precompile_can_be_moved() -> None:
    moved = {SHA256: Account(move_precompile_to=NOWHERE, code=returning("7"))}
    world = World()
    assert call(world, Message(to=NOWHERE), state_overrides=moved).output == call(world, Message(to=SHA256)).output
    assert word(call(world, Message(to=SHA256), state_overrides=moved)) == 7


def test_code_put_at_a_precompile_replaces_it() -> None:
    assert word(call(World(), Message(to=SHA256), state_overrides={SHA256: Account(code=returning("7"))})) == 7


def test_native_precompiles_run_on_overridden_storage() -> None:
    governance = next(handler.spec for handler in REGISTRY.handlers if handler.spec.name == "governance")
    overrides = {CID_REGISTRY: Account(storage_diff={GOVERNANCE_SLOT: 0xABC})}
    message = Message(to=CID_REGISTRY, data=governance.selector)
    assert word(call(World(), message, state_overrides=overrides)) == 0xABC


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ({ALICE.address: Account(move_precompile_to=NOWHERE)}, "is not a precompile"),
        ({SHA256: Account(move_precompile_to=NOWHERE), NOWHERE: Account(nonce=1)}, "is already overridden"),
        ({CONTRACT: Account(storage={}, storage_diff={})}, "both 'state' and 'stateDiff'"),
    ],
)
def test_contradictory_overrides_are_refused(overrides: Any, text: str) -> None:
    with pytest.raises(InvalidOverride, match=text):
        call(World(b""), state_overrides=overrides)


@pytest.mark.parametrize(
    ("opcode", "override", "value"),
    [
        ("NUMBER", {"number": 5}, 5),
        ("TIMESTAMP", {"timestamp": 6}, 6),
        ("GASLIMIT", {"gas_limit": 7}, 7),
        ("COINBASE", {"coinbase": Address(b"\1" * 20)}, int.from_bytes(b"\1" * 20, "big")),
        ("PREVRANDAO", {"prev_randao": b"\2" * 32}, int.from_bytes(b"\2" * 32, "big")),
        ("BLOBBASEFEE", {"blob_base_fee": 9}, 9),
        ("BASEFEE", {"base_fee": 10}, 0),
    ],
)
def test_block_overrides_are_what_the_contract_sees(opcode: str, override: dict[str, Any], value: int) -> None:
    assert word(call(World(returning(opcode)), block_overrides=Block(**override))) == value


def test_an_overridden_base_fee_counts_when_a_fee_is_paid() -> None:
    message = Message(ALICE.address, max_fee_per_gas=BASE_FEE)
    assert word(call(World(returning("BASEFEE")), message, block_overrides=Block(base_fee=10))) == 10


@pytest.mark.parametrize(("number", "known"), [(299, True), (44, True), (43, False), (300, False), (301, False)])
def test_blockhash_knows_the_last_256_blocks(number: int, known: bool) -> None:
    expected = int.from_bytes(keccak(number.to_bytes(8, "big")), "big") if known else 0
    assert word(call(World(returning(f"{number} BLOCKHASH")))) == expected


# ---------------------------------------------------------------- stopping


RECURSE = asm("0 0 0 0 0 ADDRESS GAS CALL POP 0 0 0 0 0 ADDRESS GAS CALL")
ENDLESS = {
    "loop": asm(":loop @loop JUMP"),
    "loop with work": asm("0 :loop 1 ADD DUP1 DUP1 MUL 0 MSTORE 32 0 KECCAK256 POP @loop JUMP"),
    "recursion": RECURSE,
    "calls": asm(f":loop 0 0 0 0 0 0x{SECOND.hex()} GAS CALL POP @loop JUMP"),
    "hashing": asm(":loop 20000 0 0 0 2 GAS STATICCALL POP @loop JUMP"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_call_that_nobody_waits_for_ends_soon(name: str) -> None:
    stop = Stop()
    world = World(ENDLESS[name], b"\0")
    view = world.view()
    timer = threading.Timer(0.15, lambda: setattr(stop, "requested", True))
    timer.start()
    with pytest.raises(ExecutionStopped):
        view.call(Message(), gas_cap=10**15, stop=stop)
    ended = time.monotonic()
    timer.join()
    assert stop.requested
    assert view.call(Message(to=NOWHERE), gas_cap=CAP).error is None, "the state is fit for the next call"
    assert time.monotonic() - ended < 1


def test_a_call_that_is_stopped_before_it_begins_does_not_begin() -> None:
    with pytest.raises(ExecutionStopped):
        call(World(b"\0"), stop=Stop(True))


def test_calls_from_many_threads_do_not_disturb_each_other() -> None:
    code = asm("0 CALLDATALOAD 0 SSTORE 0 SLOAD 1 SLOAD ADD 0 MSTORE 32 0 RETURN")
    view = World(code, storage={0: 1, 1: 1000}).view()

    def run(number: int) -> int:
        overrides = {CONTRACT: Account(storage_diff={1: 5000})} if number % 7 == 0 else None
        message = Message(data=number.to_bytes(32, "big"))
        return word(view.call(message, gas_cap=CAP, state_overrides=overrides)) - (5000 if overrides else 1000)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, range(400))) == list(range(400))


# ---------------------------------------------------------------- the same as a transaction


@given(
    st.lists(
        st.sampled_from(
            [
                "1 0 SSTORE", "0 0 SSTORE", "7 1 SSTORE", "0 SLOAD 2 SSTORE", "0 0 LOG0", "1 1 TSTORE",
                f"0x{SECOND.hex()} BALANCE POP", f"0 0 0 0 1 0x{SECOND.hex()} GAS CALL POP", "0 0 0 CREATE POP",
                f"0 0 0 0 0x{SECOND.hex()} 5000 DELEGATECALL POP", "0 0 REVERT", "INVALID", "32 0 RETURN",
            ]
        ),
        max_size=8,
    ),
    st.sampled_from([60_000, 100_000, 300_000]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_a_call_does_what_the_transaction_would(program: list[str], gas: int) -> None:
    world = World(asm(" ".join(program)), asm("0 0 SSTORE 5 0 0 LOG1"), storage={0: 3, 1: 4})
    fees = {"max_fee_per_gas": 10 * GWEI, "max_priority_fee_per_gas": GWEI}
    result = call(world, Message(ALICE.address, data=b"\1\0", gas=gas, **fees))  # type: ignore[arg-type]
    receipt = world.begin().apply(transaction(data=b"\1\0", gas=gas, **fees))
    assert (receipt.status == 1) == (result.error is None)
    assert (receipt.gas_used, receipt.logs) == (result.gas_used, result.logs)


# ---------------------------------------------------------------- estimates


def estimate(world: World, message: Message, **options: Any) -> int:
    with world.view().prepare(message, gas_cap=CAP, **options) as prepared:
        run: Any = prepared.run
        return estimate_gas(
            run, prepared.highest_gas(), is_plain_transfer=prepared.is_plain_transfer, tolerance_per_mille=0
        )


ESTIMATES = {
    "stop": "STOP",
    "refund": "0 0 SSTORE 0 1 SSTORE",
    "stipend": "1 2 SSTORE",
    "holds back 1/64": f"0 0 0 0 0 0x{SECOND.hex()} GAS CALL ISZERO @bad JUMPI STOP :bad 0 0 REVERT",
    "value call": f"0 0 0 0 1 0x{SECOND.hex()} GAS CALL ISZERO @bad JUMPI STOP :bad 0 0 REVERT",
    "looks at gas": "123456 GAS LT @bad JUMPI STOP :bad 0 0 REVERT",
    "creates": "0 0 0 CREATE ISZERO @bad JUMPI STOP :bad 0 0 REVERT",
    "memory": "1 100000 MSTORE",
}


@pytest.mark.parametrize("name", ESTIMATES)
@pytest.mark.parametrize("data", [b"", b"\1" * 600])
def test_an_estimate_is_enough_and_one_less_is_not(name: str, data: bytes) -> None:
    world = World(asm(ESTIMATES[name]), asm("1 0 SSTORE 1 1 SSTORE 1 2 SSTORE"), storage={0: 1, 1: 1})
    message = Message(ALICE.address, data=data)
    gas = estimate(world, message)
    assert call(world, Message(ALICE.address, data=data, gas=gas)).error is None
    try:
        assert call(world, Message(ALICE.address, data=data, gas=gas - 1)).error is not None
    except (IntrinsicGasTooLow, FloorGasTooLow):
        pass
    receipt = world.begin().apply(transaction(data=data, gas=gas))
    assert receipt.status == 1


def test_estimates_of_transfers_and_unfunded_senders_work() -> None:
    world = World(returning("CALLER"))
    assert estimate(world, Message(POOR, to=NOWHERE)) == 21_000
    assert estimate(world, Message(ALICE.address, to=NOWHERE, value=1)) == 21_000
    assert estimate(world, Message(ZERO_ADDRESS)) > 21_000
    with pytest.raises(InsufficientFunds):
        estimate(world, Message(POOR, to=NOWHERE, value=1))


def test_an_estimate_with_a_fee_stays_within_the_senders_means() -> None:
    world = World(b"", more={POOR: GenesisAccount(40_000 * BASE_FEE + 5)})
    with world.view().prepare(Message(POOR, value=5, max_fee_per_gas=BASE_FEE), gas_cap=CAP) as prepared:
        assert prepared.highest_gas() == 40_000
    with (
        world.view().prepare(Message(POOR, value=10**30, max_fee_per_gas=BASE_FEE), gas_cap=CAP) as prepared,
        pytest.raises(InsufficientFunds, match="insufficient funds for transfer"),
    ):
        prepared.highest_gas()


def test_an_estimate_begins_below_the_gas_cap_of_a_transaction() -> None:
    with World(b"").view().prepare(Message(), gas_cap=10**9) as prepared:
        assert prepared.highest_gas() == 2**24
    with World(b"").view().prepare(Message(gas=90_000), gas_cap=10**9) as prepared:
        assert prepared.highest_gas() == 90_000


# ---------------------------------------------------------------- access lists


def access_list(world: World, message: Message) -> tuple[AccessListResult, dict[Address, set[int]]]:
    result = world.view().create_access_list(message, gas_cap=CAP)
    return result, {address: set(slots) for address, slots in result.access_list}


def test_an_access_list_names_other_accounts_and_all_slots() -> None:
    code = asm(
        f"0 SLOAD 5 0x{SECOND.hex()} BALANCE 7 SSTORE 0x{COINBASE.hex()} BALANCE 0x{POOR.hex()} EXTCODESIZE "
        f"0 0 0 0 0x{SECOND.hex()} GAS STATICCALL 0 0 0 0 2 GAS STATICCALL"
    )
    world = World(code, asm("3 SLOAD"))
    result, accesses = access_list(world, Message(ALICE.address))
    assert result.error is None
    assert accesses == {CONTRACT: {0, 7}, SECOND: {3}, POOR: set()}


def test_a_transaction_with_the_list_uses_the_gas_that_was_told() -> None:
    world = World(asm(f"0 0 0 0 0x{SECOND.hex()} GAS STATICCALL"), asm("3 SLOAD 4 SLOAD"))
    result, _ = access_list(world, Message(ALICE.address))
    receipt = world.begin().apply(transaction(access_list=result.access_list))
    assert receipt.gas_used == result.gas_used


def test_what_a_reverted_frame_touched_is_listed_too() -> None:
    world = World(asm(f"0 0 0 0 0 0x{SECOND.hex()} GAS CALL 0 0 REVERT"), asm("3 SLOAD 0 0 REVERT"))
    result, accesses = access_list(world, Message())
    assert result.error == "execution reverted"
    assert accesses == {SECOND: {3}}


def test_a_list_that_was_given_stays_and_created_contracts_are_left_out() -> None:
    inner = asm("1 1 SSTORE")
    code = push(inner.ljust(32, b"\0")) + asm(f"0 MSTORE {len(inner)} 0 0 CREATE")
    result, accesses = access_list(World(code), Message(access_list=((NOWHERE, (9,)),)))
    assert result.error is None
    assert accesses == {NOWHERE: {9}}


def test_slots_of_native_precompiles_are_listed() -> None:
    governance = next(handler.spec for handler in REGISTRY.handlers if handler.spec.name == "governance")
    _, accesses = access_list(World(), Message(to=CID_REGISTRY, data=governance.selector))
    assert accesses == {CID_REGISTRY: {GOVERNANCE_SLOT}}
