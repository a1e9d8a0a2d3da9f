"""Where py-evm, or a chain made of it, goes wrong: a test or a few for each trap, on both engines where both could."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from eth._utils.address import generate_contract_address
from eth.vm.forks.cancun.constants import BEACON_ROOTS_ADDRESS
from eth.vm.forks.prague.constants import HISTORY_STORAGE_ADDRESS

import dmchain
from dmchain.chain.genesis import GenesisAccount
from dmchain.chain.primitives.codec import decode, encode
from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.errors import (
    BlobError,
    DecodeError,
    FeeCapTooLow,
    FloorGasTooLow,
    GasLimitExceeded,
    InitcodeTooLarge,
    InsufficientFunds,
    IntrinsicGasTooLow,
    InvalidTransaction,
    NonceMax,
    NonceTooHigh,
    NonceTooLow,
    SenderNotEOA,
    TipAboveFeeCap,
    TransactionTypeNotSupported,
    WrongChainId,
)
from dmchain.chain.primitives.transaction import Transaction, sign_authorization
from dmchain.chain.primitives.types import ZERO_ADDRESS, Address
from dmchain.chain.rules import Rules
from dmchain.marketplace_vm.crypto_precompiles import PRECOMPILES, Precompile
from dmchain.marketplace_vm.executor import NativeExecutor
from dmchain.marketplace_vm.precompiles import CID_REGISTRY, cid_registry
from dmchain.marketplace_vm.precompiles.dispatch import DIRECT_CALL_ONLY
from dmchain.marketplace_vm.reference import ReferenceExecutor
from dmchain.marketplace_vm.state import read_account, read_slot
from dmchain.marketplace_vm.vm import RECURSION_LIMIT, THREAD_STACK_BYTES, DmComputation, run_on_big_stack
from tests.marketplace_vm.assembler import asm, initcode_of, push
from tests.marketplace_vm.test_calls import Message, call, estimate, word
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
    SECOND,
    World,
    environment,
    transaction,
)

pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT")

ENGINES = pytest.mark.parametrize("engine", [NativeExecutor, ReferenceExecutor], ids=["native", "reference"])
PRAGUE = Rules(CHAIN_ID)
SHA256 = Address(bytes(19) + b"\x02")
REGISTER = cid_registry.CONTRACT.handlers[0].spec
CID = b"\x01\x55\x12\x20" + keccak(b"content")


def snapshot(run: Any) -> tuple[Any, ...]:
    flat = run.state.flat
    return dict(flat.acc), dict(flat.sto), {key: dict(value) for key, value in flat.dirty_storage.items()}


# ---------------------------------------------------------------- what py-evm accepts, or leaves changed

POOR_KEY = PrivateKey(keccak(b"poor"))
CODE_KEY = PrivateKey(keccak(b"code"))
LAST_KEY = PrivateKey(keccak(b"last"))
REFUSED: list[tuple[str, type[InvalidTransaction], Any]] = [
    ("wrong chain id", WrongChainId, lambda: transaction(chain_id=CHAIN_ID + 1)),
    ("wrong chain id, legacy", WrongChainId, lambda: transaction(type=0, chain_id=CHAIN_ID + 1)),
    ("gas below intrinsic", IntrinsicGasTooLow, lambda: transaction(gas=20_999)),
    ("gas below the floor", FloorGasTooLow, lambda: transaction(gas=21_000 + 1_600, data=b"\1" * 100)),
    ("oversized initcode", InitcodeTooLarge, lambda: transaction(to=b"", data=bytes(49_153), gas=2_000_000)),
    ("tip above the cap", TipAboveFeeCap, lambda: transaction(max_priority_fee_per_gas=10 * GWEI + 1)),
    (
        "cap below the base fee",
        FeeCapTooLow,
        lambda: transaction(max_fee_per_gas=BASE_FEE - 1, max_priority_fee_per_gas=0),
    ),
    ("balance for the price, not for the cap", InsufficientFunds, lambda: transaction(POOR_KEY)),
    ("value above the balance", InsufficientFunds, lambda: transaction(value=FUNDS)),
    ("sender with code", SenderNotEOA, lambda: transaction(CODE_KEY)),
    ("nonce too low", NonceTooLow, lambda: transaction(LAST_KEY, nonce=5)),
    ("nonce too high", NonceTooHigh, lambda: transaction(nonce=1)),
    ("nonce at its end", NonceMax, lambda: transaction(LAST_KEY, nonce=2**64 - 1)),
    ("more gas than the block has", GasLimitExceeded, lambda: transaction(gas=30_000_001)),
]


@ENGINES
@pytest.mark.parametrize(("name", "error", "make"), REFUSED, ids=[entry[0] for entry in REFUSED])
def test_an_invalid_transaction_is_refused_and_changes_nothing(
    engine: Any, name: str, error: type[InvalidTransaction], make: Any
) -> None:
    more = {
        POOR_KEY.address: GenesisAccount(200_000 * 8 * GWEI),
        CODE_KEY.address: GenesisAccount(FUNDS, 0, b"\0"),
        LAST_KEY.address: GenesisAccount(FUNDS, 2**64 - 1),
    }
    world = World(asm("1 0 SSTORE"), engine=engine, rules=PRAGUE, more=more)
    run: Any = world.begin()
    run.apply(transaction(BOB))
    before = snapshot(run)
    with pytest.raises(error if engine is NativeExecutor else InvalidTransaction):
        run.apply(make())
    after = snapshot(run)
    # what was read meanwhile is known afterwards, and the same as before
    for old, new in zip(before, after, strict=True):
        assert all(new[key] == value for key, value in old.items())
    run.apply(transaction(BOB, nonce=1))
    changes = run.finish(()).changes
    clean: Any = world.begin()
    clean.apply(transaction(BOB))
    clean.apply(transaction(BOB, nonce=1))
    assert changes.state_root == clean.finish(()).changes.state_root


@ENGINES
def test_a_sender_whose_code_is_a_delegation_may_send(engine: Any) -> None:
    delegated = {CODE_KEY.address: GenesisAccount(FUNDS, 0, b"\xef\x01\x00" + SECOND)}
    assert World(b"", engine=engine, more=delegated).begin().apply(transaction(CODE_KEY)).status == 1


@ENGINES
def test_unprotected_legacy_transactions_are_accepted(engine: Any) -> None:
    assert World(b"", engine=engine).begin().apply(transaction(type=0, chain_id=None)).status == 1


# ---------------------------------------------------------------- decoding


def test_only_the_canonical_encoding_of_a_transaction_is_one() -> None:
    raw = transaction(type=0).raw
    fields = decode(raw)
    assert isinstance(fields, list)
    with_zero = [*fields]
    with_zero[2] = b"\0" + bytes(fields[2])  # type: ignore[arg-type]
    for bad in (encode(with_zero), raw + b"\0", b"\xf9" + (len(raw) - 2).to_bytes(2, "big") + raw[2:], raw[:-1]):
        with pytest.raises(DecodeError):
            Transaction.decode(bad)


# ---------------------------------------------------------------- accounts that vanish


@ENGINES
def test_an_account_with_nothing_but_storage_is_wiped_when_touched(engine: Any) -> None:
    world = World(engine=engine, more={NOWHERE: GenesisAccount(0, 0, b"", ((1, 2),))})
    assert read_slot(world.store, NOWHERE, 1) == 2
    run = world.begin()
    run.apply(transaction(to=NOWHERE))
    world.commit(run)
    assert read_account(world.store, NOWHERE) is None
    assert read_slot(world.store, NOWHERE, 1) == 0


@ENGINES
def test_a_second_registration_fails(engine: Any) -> None:
    """The precompile's account has a nonce and code, so its storage stays."""
    world = World(engine=engine)
    data = REGISTER.encode_call(CID, b"", (), 0)
    statuses = []
    for nonce in (0, 1):
        run = world.begin()
        statuses.append(run.apply(transaction(to=CID_REGISTRY, data=data, nonce=nonce, gas=1_000_000)).status)
        world.commit(run)
    assert statuses == [1, 0]
    account = read_account(world.store, CID_REGISTRY)
    assert account is not None
    assert account[0] == 1


# ---------------------------------------------------------------- calls into precompiles


@ENGINES
@pytest.mark.parametrize("opcode", ["DELEGATECALL", "CALLCODE"])
def test_a_native_precompile_never_runs_on_its_callers_storage(engine: Any, opcode: str) -> None:
    data = REGISTER.encode_call(CID, b"", (), 0)
    store = b"".join(push(data[at : at + 32].ljust(32, b"\0")) + push(at) + b"\x52" for at in range(0, len(data), 32))
    value = "0" if opcode == "CALLCODE" else ""
    code = store + asm(f"0 0 {len(data)} 0 {value} 0x{CID_REGISTRY.hex()} GAS {opcode}")
    code += asm("ISZERO 0 SSTORE RETURNDATASIZE 0 1000 RETURNDATACOPY 1000 MLOAD 1 SSTORE")
    world = World(code, engine=engine)
    run = world.begin()
    assert run.apply(transaction(gas=1_000_000)).status == 1
    world.commit(run)
    assert read_slot(world.store, CONTRACT, 0) == 1, "the call failed"
    assert read_slot(world.store, CONTRACT, 1) >> 224 == int.from_bytes(DIRECT_CALL_ONLY.selector, "big")
    slots = {key for key, _ in world.store.iterate(b"s" + CONTRACT, b"s" + CONTRACT + b"\xff" * 32)}
    assert len(slots) == 2


@ENGINES
def test_a_static_call_cannot_register(engine: Any) -> None:
    data = REGISTER.encode_call(CID, b"", (), 0)
    store = b"".join(push(data[at : at + 32].ljust(32, b"\0")) + push(at) + b"\x52" for at in range(0, len(data), 32))
    code = store + asm(f"0 0 {len(data)} 0 0x{CID_REGISTRY.hex()} 500000 STATICCALL ISZERO 0 SSTORE")
    world = World(code, engine=engine)
    run = world.begin()
    receipt = run.apply(transaction(gas=1_000_000))
    world.commit(run)
    assert read_slot(world.store, CONTRACT, 0) == 1
    assert receipt.gas_used > 500_000, "write protection takes all gas of the call"


@ENGINES
def test_a_custom_error_reaches_the_caller(engine: Any) -> None:
    """What Solidity's `catch (bytes memory)` sees."""
    code = asm(
        f"0xffffffff 0 MSTORE 0 0 4 28 0 0x{CID_REGISTRY.hex()} GAS CALL ISZERO 0 SSTORE RETURNDATASIZE 1 SSTORE"
    )
    world = World(code, engine=engine)
    run = world.begin()
    run.apply(transaction(gas=1_000_000))
    world.commit(run)
    assert read_slot(world.store, CONTRACT, 0) == 1
    assert read_slot(world.store, CONTRACT, 1) == 36, "UnknownFunction(bytes4)"


@ENGINES
def test_a_bug_in_a_handler_is_a_halt_that_every_node_sees_alike(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(host: Any, data: Any) -> bytes:
        host.store(1, 1)
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(type(cid_registry.CONTRACT), "run", lambda self, host, data: broken(host, data))
    world = World(engine=engine)
    run = world.begin()
    receipt = run.apply(transaction(to=CID_REGISTRY, gas=100_000))
    assert (receipt.status, receipt.gas_used) == (0, 100_000)
    assert run.apply(transaction(to=NOWHERE, nonce=1)).status == 1, "the block goes on"
    world.commit(run)
    assert read_slot(world.store, CID_REGISTRY, 1) == 0


@ENGINES
@pytest.mark.parametrize("precompile", [SHA256, CID_REGISTRY], ids=["sha256", "registry"])
@pytest.mark.parametrize("inner", [False, True], ids=["transaction", "call"])
def test_a_delegation_to_a_precompile_runs_nothing(engine: Any, precompile: Address, inner: bool) -> None:
    delegating = {BOB.address: GenesisAccount(FUNDS, 0, b"\xef\x01\x00" + precompile)}
    code = asm(f"0 0 4 0 0 0x{BOB.address.hex()} GAS CALL 0 SSTORE RETURNDATASIZE 1 SSTORE")
    world = World(code, engine=engine, more=delegating)
    run = world.begin()
    receipt = run.apply(transaction(to=CONTRACT if inner else BOB.address, data=b"\1\2\3\4", gas=400_000))
    assert receipt.status == 1
    world.commit(run)
    if inner:
        assert read_slot(world.store, CONTRACT, 0) == 1
        assert read_slot(world.store, CONTRACT, 1) == 0
    else:
        assert receipt.gas_used == 21_000 + 4 * 40, "only the calldata costs"


@ENGINES
def test_a_delegation_set_by_a_transaction_runs_at_once(engine: Any) -> None:
    entry = sign_authorization(BOB, chain_id=CHAIN_ID, address=CONTRACT, nonce=0)
    world = World(asm("ADDRESS 0 SSTORE"), engine=engine)
    run = world.begin()
    assert run.apply(transaction(type=4, to=BOB.address, authorization_list=(entry,))).status == 1
    clear = sign_authorization(BOB, chain_id=0, address=ZERO_ADDRESS, nonce=1)
    assert run.apply(transaction(type=4, to=NOWHERE, authorization_list=(clear,), nonce=1)).status == 1
    world.commit(run)
    assert read_slot(world.store, BOB.address, 0) == int.from_bytes(BOB.address, "big")
    account = read_account(world.store, BOB.address)
    assert account is not None
    assert (account[0], account[2]) == (2, keccak(b""))


# ---------------------------------------------------------------- estimates


def test_an_estimate_is_what_a_call_needs_and_not_half_as_much_again() -> None:
    world = World(asm("1 0 SSTORE 0 0 SSTORE"))
    gas = estimate(world, Message(ALICE.address))
    used = world.begin().apply(transaction(gas=gas))
    assert used.status == 1
    assert world.begin().apply(transaction(gas=gas - 1)).status == 0


# ---------------------------------------------------------------- speed


def test_cryptographic_precompiles_are_the_fast_ones() -> None:
    """py-evm's own run at 0.2 to 0.9 Mgas/s."""
    for number in range(1, 0x12):
        address = Address(number.to_bytes(20, "big"))
        assert isinstance(DmComputation._precompiles[address], Precompile)
        assert address in PRECOMPILES


def test_py_evms_chain_classes_are_not_used() -> None:
    """MiningChain rebuilds tries for each transaction."""
    package = Path(dmchain.__file__).parent
    assert [str(path) for path in package.rglob("*.py") if "eth.chains" in path.read_text(encoding="utf-8")] == []


# ---------------------------------------------------------------- depth

NEST = asm(
    # call yourself with one more in the calldata; return how deep it went
    """
    0 CALLDATALOAD 1 ADD 0 MSTORE 32 0 32 0 0 ADDRESS GAS CALL
    @deeper JUMPI 32 0 RETURN :deeper 32 0 RETURN
    """
)
CREATE_NEST = asm("CODESIZE 0 0 CODECOPY CODESIZE 0 0 CREATE")


def run_on_worker(work: Any) -> Any:
    """As the node does it: the stack size is set before the thread is made."""
    before = threading.stack_size(THREAD_STACK_BYTES)
    try:
        return run_on_big_stack(work)
    finally:
        threading.stack_size(before)


@pytest.mark.parametrize("runner", ["translated", "plain"])
def test_calls_nest_1024_deep_on_a_worker_thread(runner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if runner == "plain":
        from dmchain.marketplace_vm.vm import run_plain

        monkeypatch.setattr(DmComputation, "code_runner", staticmethod(run_plain))
    world = World(NEST)
    result = run_on_worker(lambda: call(world, Message(), gas_cap=10**13))
    assert word(result) == 1025, "the outermost is at depth 0; what is deeper than 1024 is refused"


def test_creations_nest_1024_deep_on_a_worker_thread() -> None:
    message = Message(to=b"", data=CREATE_NEST)
    result = run_on_worker(lambda: call(World(), message, gas_cap=10**13))
    assert result.error is None


def test_the_recursion_limit_leaves_room_for_full_depth() -> None:
    assert sys.getrecursionlimit() >= RECURSION_LIMIT


def test_logs_of_full_depth_are_collected_in_one_pass() -> None:
    """Sorting and copying at each of 1024 levels would take minutes."""
    code = asm("0 0 0 0 0 ADDRESS GAS CALL POP 100 :again 0 0 LOG0 1 SWAP1 SUB DUP1 @again JUMPI")
    result = run_on_worker(lambda: call(World(code), Message(), gas_cap=10**13))
    assert result.error is None
    assert len(result.logs) == 1025 * 100


# ---------------------------------------------------------------- system contracts


@ENGINES
def test_system_contracts_answer_other_contracts(engine: Any) -> None:
    ask = asm(
        f"""
        299 0 MSTORE 32 32 32 0 0x{HISTORY_STORAGE_ADDRESS.hex()} GAS STATICCALL 1 SSTORE 32 MLOAD 2 SSTORE
        TIMESTAMP 0 MSTORE 32 32 32 0 0x{BEACON_ROOTS_ADDRESS.hex()} GAS STATICCALL 3 SSTORE 32 MLOAD 4 SSTORE
        """
    )
    world = World(ask, engine=engine)
    run = world.begin(system_calls=True)
    assert run.apply(transaction(gas=1_000_000)).status == 1
    world.commit(run)
    made = environment()
    assert [read_slot(world.store, CONTRACT, slot) for slot in (1, 3)] == [1, 1]
    assert read_slot(world.store, CONTRACT, 2).to_bytes(32, "big") == made.parent_hash
    assert read_slot(world.store, CONTRACT, 4).to_bytes(32, "big") == made.parent_beacon_block_root


@ENGINES
def test_what_a_self_destructed_coinbase_was_paid_is_gone(engine: Any) -> None:
    """EIP-6780: created and destroyed in one transaction, which also pays it the tip."""
    address = Address(bytes(generate_contract_address(ALICE.address, 0)))  # type: ignore[arg-type]
    world = World(engine=engine)
    run = world.begin(coinbase=address)
    assert run.apply(transaction(to=b"", data=asm("CALLER SELFDESTRUCT"), value=5)).status == 1
    world.commit(run)
    assert read_account(world.store, address) is None


# ---------------------------------------------------------------- blobs and Osaka


@ENGINES
def test_blob_transactions_are_refused_in_words(engine: Any) -> None:
    body = [CHAIN_ID, 0, GWEI, 10 * GWEI, 100_000, CONTRACT, 0, b"", [], 1, [b"\x01" + bytes(31)]]
    y_parity, r, s = ALICE.sign(keccak(b"\x03" + encode(body)))
    blob = Transaction.decode(b"\x03" + encode([*body, y_parity, r, s]))
    expected: Any = TransactionTypeNotSupported if engine is NativeExecutor else InvalidTransaction
    with pytest.raises(expected, match="blob transaction"):
        World(b"", engine=engine).begin().apply(blob)
    with pytest.raises(BlobError, match="without blobs"):
        body[-1] = []
        y_parity, r, s = ALICE.sign(keccak(b"\x03" + encode(body)))
        Transaction.decode(b"\x03" + encode([*body, y_parity, r, s]))


@ENGINES
def test_clz_comes_with_osaka(engine: Any) -> None:
    for value, zeros in ((0, 256), (1, 255), (2**255, 0)):
        world = World(asm(f"{value} CLZ 0 SSTORE"), engine=engine)
        run = world.begin()
        run.apply(transaction())
        world.commit(run)
        assert read_slot(world.store, CONTRACT, 0) == zeros
    receipt = World(asm("1 CLZ"), engine=engine, rules=PRAGUE).begin().apply(transaction(gas=50_000))
    assert (receipt.status, receipt.gas_used) == (0, 50_000)


P256_GOOD = bytes.fromhex(
    # EIP-7951: hash, r, s, x, y; a signature by the generator's key 1 of the hash of nothing in particular
    "bb5a52f42f9c9261ed4361f59422a1e30036e7c32b270c8807a419feca605023"
    "2ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e18"
    "4cd60b855d442f5b3c7b11eb6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76"
    "2927b10512bae3eddcfe467828128bad2903269919f7086069c8c4df6c732838"
    "c7787964eaac00e5921fb1498a60f4606766b3d9685001558d1a974e7341513e"
)


@ENGINES
def test_p256verify_comes_with_osaka(engine: Any) -> None:
    target = "0x" + "00" * 18 + "0100"
    store = b"".join(push(P256_GOOD[at : at + 32]) + push(at) + b"\x52" for at in range(0, 160, 32))
    code = store + asm(f"32 160 160 0 0 {target} GAS CALL 0 SSTORE 160 MLOAD 1 SSTORE RETURNDATASIZE 2 SSTORE")
    for rules, answer in ((Rules(CHAIN_ID, osaka_time=0), (1, 1, 32)), (PRAGUE, (1, 0, 0))):
        world = World(code, engine=engine, rules=rules)
        run = world.begin()
        run.apply(transaction(gas=300_000))
        world.commit(run)
        assert tuple(read_slot(world.store, CONTRACT, slot) for slot in range(3)) == answer


@ENGINES
def test_modexp_is_limited_and_dearer_in_osaka(engine: Any) -> None:
    """EIP-7823: lengths up to 1024 bytes; EIP-7883: at least 500 gas instead of 200."""

    def used(rules: Rules, length: int, gas: int) -> int:
        code = asm(f"1 0 MSTORE 1 32 MSTORE {length} 64 MSTORE 0 0 {96 + 2 + length} 0 0 5 {gas} CALL 0 SSTORE")
        world = World(code, engine=engine, rules=rules)
        run = world.begin()
        run.apply(transaction(gas=900_000))
        world.commit(run)
        return read_slot(world.store, CONTRACT, 0)

    osaka = Rules(CHAIN_ID, osaka_time=0)
    assert (used(PRAGUE, 32, 200), used(PRAGUE, 32, 199)) == (1, 0)
    assert (used(osaka, 32, 500), used(osaka, 32, 499)) == (1, 0)
    assert (used(PRAGUE, 1025, 500_000), used(osaka, 1025, 500_000)) == (1, 0)


@ENGINES
def test_no_transaction_has_more_than_2_to_the_24_gas_in_osaka(engine: Any) -> None:
    osaka = Rules(CHAIN_ID, osaka_time=0)
    assert World(b"", engine=engine, rules=osaka).begin().apply(transaction(gas=2**24)).status == 1
    with pytest.raises(GasLimitExceeded if engine is NativeExecutor else InvalidTransaction, match="cap"):
        World(b"", engine=engine, rules=osaka).begin().apply(transaction(gas=2**24 + 1))
    assert World(b"", engine=engine, rules=PRAGUE).begin().apply(transaction(gas=2**24 + 1)).status == 1


@ENGINES
def test_fees_go_where_they_belong(engine: Any) -> None:
    """The base fee is burnt, the tip is the coinbase's, the rest comes back."""
    world = World(asm("1 0 SSTORE"), engine=engine)
    run = world.begin()
    receipt = run.apply(transaction(value=3))
    world.commit(run)
    assert receipt.effective_gas_price == BASE_FEE + GWEI
    alice, coinbase = read_account(world.store, ALICE.address), read_account(world.store, COINBASE)
    assert alice is not None
    assert coinbase is not None
    assert alice[1] == FUNDS - 3 - receipt.gas_used * (BASE_FEE + GWEI)
    assert coinbase[1] == receipt.gas_used * GWEI


@ENGINES
def test_initcode_and_code_sizes_are_limited(engine: Any) -> None:
    big = initcode_of(bytes(24_576))
    assert World(engine=engine).begin().apply(transaction(to=b"", data=big, gas=6_000_000)).status == 1
    bigger = initcode_of(bytes(24_577))
    assert World(engine=engine).begin().apply(transaction(to=b"", data=bigger, gas=6_000_000)).status == 0
