"""Traces: geth's shapes, and that watching changes nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from eth._utils.address import generate_contract_address

from dmchain.chain.genesis import GenesisAccount
from dmchain.chain.primitives.crypto import EMPTY_CODE_HASH, keccak
from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.primitives.types import Address
from dmchain.marketplace_vm.executor import BlockRun
from dmchain.marketplace_vm.halts import STACK_EFFECTS
from dmchain.marketplace_vm.precompiles import CID_REGISTRY, cid_registry
from dmchain.marketplace_vm.state import FlatState
from dmchain.marketplace_vm.trace import BlockReplay, trace_call
from dmchain.marketplace_vm.tracers import struct_logs
from dmchain.marketplace_vm.tracers.base import TraceTooLarge, UnknownTracer
from dmchain.marketplace_vm.vm import OSAKA_OPCODES, ExecutionStopped
from tests.marketplace_vm.assembler import asm, initcode_of
from tests.marketplace_vm.random_blocks import FIXED, FOREIGN, KEYS, RandomChain
from tests.marketplace_vm.test_calls import Account, Message, Stop
from tests.marketplace_vm.test_engines_agree import NativeExecutor, StoredEngine
from tests.marketplace_vm.world import (
    ALICE,
    BASE_FEE,
    BOB,
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


@dataclass(frozen=True)
class Config:
    """The same fields as rpc.backend.TraceConfig."""

    tracer: str | None = None
    options: dict[str, Any] | None = None
    enable_memory: bool = False
    disable_stack: bool = False
    disable_storage: bool = False
    enable_return_data: bool = False
    limit: int = 0


CALLS = Config("callTracer", {"withLog": True})
PRESTATE = Config("prestateTracer")
DIFF = Config("prestateTracer", {"diffMode": True})


def trace(world: World, config: Config, **fields: Any) -> Any:
    replay = BlockReplay(world.rules, world.store, environment())
    result = replay.trace(transaction(**{"gas": 500_000, **fields}), config)
    json.dumps(result)  # fit for JSON
    return result


def name(address: bytes) -> str:
    return "0x" + address.hex()


# ---------------------------------------------------------------- callTracer


def test_a_transfer_is_one_call_without_output() -> None:
    assert trace(World(), CALLS, to=NOWHERE, value=7) == {
        "type": "CALL",
        "from": name(ALICE.address),
        "to": name(NOWHERE),
        "value": "0x7",
        "gas": hex(500_000),
        "gasUsed": hex(21_000),
        "input": "0x",
    }


def test_calls_of_all_kinds_say_who_called_whom() -> None:
    inner = f"0x{SECOND.hex()} 50000"
    code = asm(
        f"0 0 4 0 9 {inner} CALL 0 0 4 0 8 {inner} CALLCODE 0 0 4 0 {inner} DELEGATECALL 0 0 4 0 {inner} STATICCALL"
    )
    top = trace(World(code, asm("32 0 RETURN")), CALLS)
    me, other = name(CONTRACT), name(SECOND)
    shapes = [(c["type"], c["from"], c["to"], c.get("value"), c["input"]) for c in top["calls"]]
    assert shapes == [
        ("CALL", me, other, "0x9", "0x00000000"),
        ("CALLCODE", me, other, "0x8", "0x00000000"),
        ("DELEGATECALL", me, other, "0x0", "0x00000000"),
        ("STATICCALL", me, other, None, "0x00000000"),
    ]
    assert {c["output"] for c in top["calls"]} == {"0x" + "00" * 32}
    assert [c["gas"] for c in top["calls"]] == [hex(52_300), hex(52_300), hex(50_000), hex(50_000)]


def test_a_delegated_account_is_shown_as_what_was_called() -> None:
    delegating = {BOB.address: GenesisAccount(0, 0, b"\xef\x01\x00" + SECOND)}
    code = asm(f"0 0 0 0 0x{BOB.address.hex()} GAS DELEGATECALL 0 0 0 0 0 0x{BOB.address.hex()} GAS CALL")
    top = trace(World(code, asm("STOP"), more=delegating), CALLS)
    assert [call["to"] for call in top["calls"]] == [name(BOB.address)] * 2


def test_failures_carry_their_reason() -> None:
    reason = "08c379a0" + "20".zfill(64) + "2".zfill(64) + "6e6f".ljust(64, "0")
    code = asm(
        f"0x{reason[:64]} 0 MSTORE 0x{reason[64:128]} 32 MSTORE 0x{reason[128:192]} 64 MSTORE 0x{reason[192:].ljust(64, '0')} "
        "96 MSTORE 100 0 REVERT"
    )
    top = trace(World(asm(f"0 0 0 0 0 0x{SECOND.hex()} 60000 CALL INVALID"), code), CALLS)
    inner = top["calls"][0]
    assert (inner["error"], inner["revertReason"]) == ("execution reverted", "no")
    assert inner["output"] == "0x" + reason
    assert (top["error"], top["gasUsed"]) == ("invalid opcode: INVALID", hex(500_000))
    assert "output" not in top


def test_creations_show_code_and_address() -> None:
    address = name(generate_contract_address(ALICE.address, 0))  # type: ignore[arg-type]
    top = trace(World(), CALLS, to=b"", data=initcode_of(b"\1\2"))
    assert (top["type"], top["to"], top["input"]) == ("CREATE", address, name(initcode_of(b"\1\2")))
    assert top["output"] == "0x0102"
    inner = trace(World(asm("1 0 0 0 CREATE2 0 0 0 CREATE")), CALLS)["calls"]
    assert [call["type"] for call in inner] == ["CREATE2", "CREATE"]
    failed = trace(World(), CALLS, to=b"", data=asm("24577 0 RETURN"), gas=6_000_000)
    assert "to" not in failed
    assert failed["error"].startswith("max code size exceeded")


def test_a_creation_that_collides_is_shown_without_having_run() -> None:
    taken = Address(bytes(generate_contract_address(ALICE.address, 0)))  # type: ignore[arg-type]
    world = World(more={taken: GenesisAccount(0, 1)})
    top = trace(world, CALLS, to=b"", data=b"\0")
    assert (top["type"], top["error"], top["gasUsed"]) == ("CREATE", "contract address collision", hex(500_000))


def test_selfdestruct_is_a_call_of_its_own() -> None:
    top = trace(World(asm(f"0x{NOWHERE.hex()} SELFDESTRUCT")), CALLS)
    assert top["calls"] == [
        {
            "type": "SELFDESTRUCT", "from": name(CONTRACT), "to": name(NOWHERE), "value": hex(1000), "gas": "0x0",
            "gasUsed": "0x0", "input": "0x",
        }
    ]  # fmt: skip
    short = trace(World(asm(f"0x{NOWHERE.hex()} SELFDESTRUCT")), CALLS, gas=21_100)
    assert "calls" not in short


def test_logs_stand_where_they_were_made_unless_they_were_undone() -> None:
    quiet, loud = "0 0 REVERT", "STOP"
    code = asm(f"1 0 0 LOG1 0 0 0 0 0 0x{SECOND.hex()} GAS CALL 2 0 0 LOG1")
    for end, inner_logs in ((quiet, 0), (loud, 1)):
        top = trace(World(code, asm(f"7 0 0 LOG1 {end}")), CALLS)
        assert [(log["topics"], log["position"]) for log in top["logs"]] == [
            ([f"0x{1:064x}"], "0x0"),
            ([f"0x{2:064x}"], "0x1"),
        ]
        assert len(top["calls"][0].get("logs", [])) == inner_logs
        numbered = top["logs"] + top["calls"][0].get("logs", [])
        assert sorted(log["index"] for log in numbered) == [hex(n) for n in range(len(numbered))]


def test_logs_of_native_precompiles_are_there() -> None:
    register = cid_registry.CONTRACT.handlers[0].spec
    data = register.encode_call(b"\x01\x55\x12\x20" + keccak(b"x"), b"", (), 0)
    top = trace(World(), CALLS, to=CID_REGISTRY, data=data)
    assert "error" not in top
    assert top["logs"][0]["address"] == name(CID_REGISTRY)


def test_only_the_top_call_if_that_is_all_that_is_wanted() -> None:
    world = World(asm(f"0 0 0 0 0 0x{SECOND.hex()} GAS CALL"), asm(f"0x{NOWHERE.hex()} SELFDESTRUCT"))
    assert "calls" not in trace(world, Config("callTracer", {"onlyTopCall": True}))


def test_functions_are_counted_by_selector_and_size() -> None:
    code = asm(
        f"0x11223344 224 SHL 0 MSTORE 0 0 36 0 0 0x{SECOND.hex()} GAS CALL 0 0 36 0 0x{SECOND.hex()} GAS STATICCALL"
    )
    counts = trace(World(code, b""), Config("4byteTracer"), data=bytes.fromhex("aabbccdd"))
    assert counts == {"0xaabbccdd-0": 1, "0x11223344-32": 2}


# ---------------------------------------------------------------- prestateTracer


def test_prestate_is_what_was_there_before() -> None:
    code = asm(f"0 SLOAD 1 SLOAD 5 0 SSTORE 0x{SECOND.hex()} BALANCE 0 0 0 0 3 0x{NOWHERE.hex()} GAS CALL")
    world = World(code, b"\0", storage={0: 9})
    pre = trace(world, PRESTATE, access_list=((Address(b"\x88" * 20), (1,)),))
    assert pre == {
        name(ALICE.address): {"balance": hex(FUNDS)},
        name(CONTRACT): {
            "balance": hex(1000),
            "nonce": 1,
            "code": name(code),
            "codeHash": name(keccak(code)),
            "storage": {f"0x{0:064x}": f"0x{9:064x}", f"0x{1:064x}": f"0x{0:064x}"},
        },
        name(COINBASE): {"balance": "0x0"},
        name(SECOND): {"balance": hex(1000), "nonce": 1, "code": "0x00", "codeHash": name(keccak(b"\0"))},
        name(NOWHERE): {"balance": "0x0"},
    }


def test_code_and_storage_may_be_left_out() -> None:
    world = World(asm("0 SLOAD"), storage={0: 9})
    pre = trace(world, Config("prestateTracer", {"disableCode": True, "disableStorage": True}))
    assert pre[name(CONTRACT)] == {"balance": hex(1000), "nonce": 1}


def test_a_difference_names_what_changed_and_nothing_else() -> None:
    code = asm(f"5 0 SSTORE 0 1 SSTORE 4 2 SSTORE 7 3 SSTORE 3 SLOAD 0x{SECOND.hex()} BALANCE")
    diff = trace(World(code, b"\0", storage={0: 9, 1: 8, 3: 7}), DIFF)
    slots = [f"0x{slot:064x}" for slot in range(4)]
    assert set(diff["pre"]) == {name(ALICE.address), name(CONTRACT), name(COINBASE)}
    assert diff["pre"][name(CONTRACT)]["storage"] == {slots[0]: f"0x{9:064x}", slots[1]: f"0x{8:064x}"}
    assert diff["post"][name(CONTRACT)] == {"storage": {slots[0]: f"0x{5:064x}", slots[2]: f"0x{4:064x}"}}
    assert set(diff["post"][name(ALICE.address)]) == {"balance", "nonce"}


def test_created_and_destroyed_accounts_are_on_one_side() -> None:
    address = name(generate_contract_address(ALICE.address, 0))  # type: ignore[arg-type]
    created = trace(World(), DIFF, to=b"", data=initcode_of(b"\1"))
    assert address not in created["pre"]
    assert created["post"][address] == {
        "balance": "0x0", "nonce": 1, "code": "0x01", "codeHash": name(keccak(b"\1")),
    } or created["post"][address] == {"nonce": 1, "code": "0x01", "codeHash": name(keccak(b"\1"))}  # fmt: skip
    hollow = World(more={NOWHERE: GenesisAccount(0, 0, b"", ((1, 2),))})
    wiped = trace(hollow, DIFF, to=NOWHERE)
    assert name(NOWHERE) in wiped["pre"]
    assert name(NOWHERE) not in wiped["post"]


# ---------------------------------------------------------------- struct logs

CREATION = bytes.fromhex(
    "600d380380600d6000396000f3"
    "60004381526020014681526020014181526020014881526020014481526020013281526020013481526020016000f3"
)
CREATION_LOGS = [
    # the first transaction of execution-apis' test chain, as geth shows it
    (0, "PUSH1", 3, []),
    (2, "CODESIZE", 2, ["0xd"]),
    (3, "SUB", 3, ["0xd", "0x3c"]),
    (4, "DUP1", 3, ["0x2f"]),
    (5, "PUSH1", 3, ["0x2f", "0x2f"]),
    (7, "PUSH1", 3, ["0x2f", "0x2f", "0xd"]),
    (9, "CODECOPY", 15, ["0x2f", "0x2f", "0xd", "0x0"]),
    (10, "PUSH1", 3, ["0x2f"]),
    (12, "RETURN", 0, ["0x2f", "0x0"]),
]


def test_struct_logs_are_those_of_geth() -> None:
    result = trace(World(), Config(enable_memory=True), to=b"", data=CREATION)
    assert (result["failed"], result["returnValue"]) == (False, name(CREATION[13:]))
    logs = result["structLogs"]
    assert [(log["pc"], log["op"], log["gasCost"], log["stack"]) for log in logs] == CREATION_LOGS
    assert {log["depth"] for log in logs} == {1}
    words = [name(CREATION[13:45]), name(CREATION[45:].ljust(32, b"\0"))]
    assert [log.get("memory") for log in logs] == [None] * 7 + [words, words]
    assert logs[0]["gas"] - logs[-1]["gas"] == sum(log["gasCost"] for log in logs[:-1])


def test_transfers_have_no_struct_logs() -> None:
    assert trace(World(), Config(), to=NOWHERE) == {
        "gas": 21_000,
        "failed": False,
        "returnValue": "0x",
        "structLogs": [],
    }


def test_storage_is_shown_where_it_is_used_and_adds_up() -> None:
    logs = trace(World(asm("5 1 SSTORE 2 SLOAD POP 6 1 SSTORE STOP"), storage={2: 9}), Config())["structLogs"]
    shown = [
        (log["op"], {int(k, 16): int(v, 16) for k, v in log["storage"].items()}) for log in logs if "storage" in log
    ]
    assert shown == [("SSTORE", {1: 5}), ("SLOAD", {1: 5, 2: 9}), ("SSTORE", {1: 6, 2: 9})]


def test_costs_of_calls_have_the_gas_they_send_and_creations_do_not() -> None:
    code = asm(f"0 0 0 0 1 0x{SECOND.hex()} 1000 CALL 0 0 0 CREATE STOP")
    logs = trace(World(code, asm("STOP")), Config())["structLogs"]
    costs = {log["op"]: log["gasCost"] for log in logs if log["depth"] == 1}
    assert costs["CALL"] == 2600 + 9000 + 1000
    assert costs["CREATE"] == 32_000
    inner = [log for log in logs if log["depth"] == 2]
    assert (inner[0]["op"], inner[0]["gas"]) == ("STOP", 3300)


def test_refunds_returned_data_errors_and_the_end_of_the_code_are_shown() -> None:
    code = asm(f"0 0 SSTORE 0 0 32 0 0 0x{SECOND.hex()} GAS CALL POP")
    result = trace(World(code, asm("0xab 0 MSTORE8 1 0 REVERT"), storage={0: 1}), Config(enable_return_data=True))
    logs = result["structLogs"]
    assert [log.get("refund") for log in logs if log["depth"] == 1] == [None, None, None] + [4800] * 10
    last = logs[-1]
    assert (last["op"], last["pc"], last["returnData"]) == ("STOP", len(code), "0xab")
    failed = trace(World(asm("1 MSTORE")), Config())["structLogs"]
    assert failed[-1]["error"] == "stack underflow (1 <=> 2)"
    assert all("error" not in log for log in logs)


def test_unknown_opcodes_have_names() -> None:
    assert [log["op"] for log in trace(World(asm(".21")), Config())["structLogs"]] == ["opcode 0x21 not defined"]
    assert [log["op"] for log in trace(World(asm("INVALID")), Config())["structLogs"]] == ["INVALID"]


def test_a_limit_ends_the_logs_and_not_the_execution() -> None:
    full = trace(World(asm("1 0 SSTORE 1 2 3 4")), Config())
    cut = trace(World(asm("1 0 SSTORE 1 2 3 4")), Config(limit=2, disable_stack=True, disable_storage=True))
    assert len(cut["structLogs"]) == 2
    assert cut["gas"] == full["gas"]
    assert "stack" not in cut["structLogs"][0]
    assert "storage" not in cut["structLogs"][1]


def test_a_trace_that_would_fill_the_memory_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(struct_logs, "MAX_TRACE_CHARACTERS", 10_000)
    with pytest.raises(TraceTooLarge) as caught:
        trace(World(asm(":again @again JUMP")), Config())
    assert caught.value.hint is not None


def test_the_stack_effect_of_every_opcode_is_known() -> None:
    assert set(STACK_EFFECTS) == set(OSAKA_OPCODES)


# ---------------------------------------------------------------- calls, errors


def test_calls_can_be_traced_with_overrides_and_fees() -> None:
    view = World(asm("0 SLOAD 0 MSTORE 32 0 RETURN")).view()
    overrides: Any = {CONTRACT: Account(storage_diff={0: 5})}
    result = trace_call(view, Message(), CALLS, gas_cap=10**6, state_overrides=overrides)
    assert int(result["output"], 16) == 5
    fee = Message(ALICE.address, max_fee_per_gas=BASE_FEE + GWEI, max_priority_fee_per_gas=GWEI)
    diff = trace_call(view, fee, DIFF, gas_cap=10**6)
    used = int(trace_call(view, fee, CALLS, gas_cap=10**6)["gasUsed"], 16)
    assert int(diff["post"][name(ALICE.address)]["balance"], 16) == FUNDS - used * (BASE_FEE + GWEI)
    assert diff["post"][name(COINBASE)]["balance"] == hex(used * GWEI)


def test_tracers_that_are_not_there_are_named() -> None:
    with pytest.raises(UnknownTracer, match=r"tracer '\{result"):
        trace(World(), Config("{result: function() {}}"))
    assert trace(World(), Config("noopTracer")) == {}


def test_a_trace_that_nobody_waits_for_ends() -> None:
    for config in (Config(limit=1), CALLS, PRESTATE):
        replay = BlockReplay(World().rules, World(asm(":again @again JUMP")).store, environment(), stop=Stop(True))
        with pytest.raises(ExecutionStopped):
            replay.trace(transaction(gas=10_000_000), config)


# ---------------------------------------------------------------- watching changes nothing

KNOWN = [*(key.address for key in KEYS), *FIXED, FOREIGN]


def changed_accounts(before: FlatState, run: BlockRun, addresses: set[bytes]) -> set[str]:
    """Accounts that differ now from `before` in nonce, balance, code or a slot."""
    flat = run.flat
    changed = set()
    for address in addresses:
        old, new = before.account(address), flat.account(address)
        if (old and old[:3]) != (new and new[:3]):
            changed.add(name(address))
        for slot in {key[1] for key in flat.sto if key[0] == address}:
            if before.get_storage(address, slot) != flat.get_storage(address, slot):
                changed.add(name(address))
    return changed


def fresh_copy(flat: FlatState, reader: Any) -> FlatState:
    """The state as it is now, apart."""
    copy = FlatState(reader)
    copy.acc, copy.sto, copy.wiped = dict(flat.acc), dict(flat.sto), dict(flat.wiped)
    copy._new_codes = dict(flat._new_codes)
    return copy


@pytest.mark.parametrize("seed", range(4))
def test_traced_blocks_end_as_untraced_ones(seed: int) -> None:
    chain = RandomChain(seed)
    engine = StoredEngine(NativeExecutor(chain.rules))
    configs = [CALLS, DIFF, Config(enable_memory=True, enable_return_data=True), PRESTATE, Config("4byteTracer")]
    for _ in range(6):
        block = chain.next_block()
        run = engine.begin(block.environment)
        replays = [BlockReplay(chain.rules, engine.store, block.environment) for _ in configs]
        for _ in range(block.count):
            tx = block.transactions(run.flat.get_nonce)
            before = fresh_copy(run.flat, engine.store)
            try:
                receipt = run.apply(tx)
            except DmchainError:
                continue
            calls, diff, logs, *_ = (replay.trace(tx, config) for replay, config in zip(replays, configs, strict=True))
            assert int(calls["gasUsed"], 16) == logs["gas"] == receipt.gas_used
            assert ("error" in calls) == logs["failed"] == (receipt.status == 0)
            touched = {bytes.fromhex(address[2:]) for address in {*diff["pre"], *diff["post"]}}
            assert {*diff["pre"], *diff["post"]} >= changed_accounts(before, run, {*KNOWN, *touched})
            assert {*diff["pre"], *diff["post"]} <= changed_accounts(before, run, touched) | {name(tx.sender)}
            for address, shown in diff["post"].items():
                account = run.flat.account(bytes.fromhex(address[2:]))
                assert account is not None
                assert int(shown.get("balance", hex(account[1])), 16) == account[1]
                assert shown.get("nonce", account[0]) == account[0]
                assert ("code" not in shown) or account[2] != EMPTY_CODE_HASH
        outcome = run.finish(block.withdrawals)
        for replay in replays:
            replay._block._parent_state_root = engine.root
            assert replay._block.finish(block.withdrawals).changes.state_root == outcome.changes.state_root
        engine.commit(outcome)
