"""Random chains for comparing engines: one seed decides everything.

Transactions run small generated programs that do what changes state: storage churn with deletes, value transfers,
calls of all four kinds into each other, into precompiles and into nothing, creations, self-destructs, delegations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from eth._utils.address import generate_contract_address
from eth.vm.forks.prague.constants import (
    CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
)

from dmchain.chain.executor import BlockEnvironment
from dmchain.chain.genesis import GenesisAccount
from dmchain.chain.primitives.block import Withdrawal
from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.transaction import (
    Authorization,
    Transaction,
    UnsignedTransaction,
    sign_authorization,
    sign_transaction,
)
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.rules import Rules
from dmchain.marketplace_vm.precompiles import CID_REGISTRY
from dmchain.marketplace_vm.precompiles.genesis import GENESIS_ACCOUNTS
from dmchain.marketplace_vm.precompiles.native import CONTRACTS
from dmchain.marketplace_vm.system import SYSTEM_CONTRACTS
from tests.marketplace_vm.assembler import asm, initcode_of, push

CHAIN_ID = 7001
KEYS = [PrivateKey(hashlib.sha256(f"random blocks {n}".encode()).digest()) for n in range(6)]
POOR = PrivateKey(hashlib.sha256(b"poor").digest())
EMPTY = Address(b"\xe0" * 20)
"""An account that genesis holds although it is empty: the first touch removes it."""
HOLLOW_KEYS = [PrivateKey(hashlib.sha256(f"hollow {n}".encode()).digest()) for n in range(3)]
HOLLOW = [key.address for key in HOLLOW_KEYS]
"""Like EMPTY, but with storage, which goes with them. They may delegate (EIP-7702), and then it can be seen."""
FOREIGN = Address(b"\xf0" * 20)
COLLISION = Address(bytes(generate_contract_address(KEYS[1].address, 2)))
"""Where a creation must fail: no nonce, no code, but storage (EIP-7610)."""
OSAKA_TIME = 1_060
SLOTS = 6
REQUEST_STUB = asm("0 0 RETURN")

TOKEN = asm(
    # transfer(to, amount): move amount from the caller's balance at keccak(address, 0), log it
    """
    CALLER 0 MSTORE 64 0 KECCAK256 SLOAD 36 CALLDATALOAD DUP1 DUP3 LT @short JUMPI
    SWAP1 SUB 64 0 KECCAK256 SSTORE
    4 CALLDATALOAD 0 MSTORE 64 0 KECCAK256 DUP1 SLOAD 36 CALLDATALOAD ADD SWAP1 SSTORE
    36 CALLDATALOAD 0 MSTORE 4 CALLDATALOAD CALLER 0xddf252ad 32 0 LOG3 1 0 MSTORE 32 0 RETURN
    :short 0 0 REVERT
    """
)
CHURN = asm(
    # for each pair of words in the calldata: SSTORE(first, second)
    """
    0 :next DUP1 CALLDATASIZE GT ISZERO @end JUMPI
    DUP1 32 ADD CALLDATALOAD DUP2 CALLDATALOAD SSTORE 64 ADD @next JUMP :end STOP
    """
)
FORWARD = asm(
    # delegate the calldata to whatever slot 0 says, and pass on what comes back
    """
    CALLDATASIZE 0 0 CALLDATACOPY 0 0 CALLDATASIZE 0 0 SLOAD GAS DELEGATECALL
    RETURNDATASIZE 0 0 RETURNDATACOPY @good JUMPI RETURNDATASIZE 0 REVERT :good RETURNDATASIZE 0 RETURN
    """
)
DESTROY = asm("0 CALLDATALOAD SELFDESTRUCT")
FIXED = {
    Address(b"\xc1" * 20): TOKEN,
    Address(b"\xc2" * 20): CHURN,
    Address(b"\xc3" * 20): FORWARD,
    Address(b"\xc4" * 20): DESTROY,
    Address(b"\xc5" * 20): asm("CALLER SELFDESTRUCT"),
    Address(b"\xc6" * 20): asm("1 0 SSTORE 0 0 REVERT"),
    Address(b"\xc7" * 20): asm("INVALID"),
    Address(b"\xc8" * 20): asm("CALLVALUE SELFBALANCE 0 SSTORE STOP"),
}
PRECOMPILES = [Address(n.to_bytes(20, "big")) for n in (1, 2, 3, 4, 5, 6, 7, 9, 0x0B, 0x0D, 0x100)]
NATIVE = [Address(contract.address) for contract in CONTRACTS]
NATIVE_CALLS = [(contract.address, handler.spec) for contract in CONTRACTS for handler in contract.handlers]


def genesis_alloc() -> dict[Address, GenesisAccount]:
    alloc = {key.address: GenesisAccount(10**20) for key in KEYS}
    alloc[POOR.address] = GenesisAccount(30_000 * 10**9)
    for index, (address, code) in enumerate(FIXED.items()):
        target = int.from_bytes(list(FIXED)[index - 2], "big")
        alloc[address] = GenesisAccount(10 * index, 1, code, ((0, target), (1, 5), (2, 7)))
    for address, code in SYSTEM_CONTRACTS.items():
        alloc[Address(address)] = GenesisAccount(0, 1, code)
    for address in (WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS):
        alloc[Address(bytes(address))] = GenesisAccount(0, 1, REQUEST_STUB)
    for address, account in GENESIS_ACCOUNTS.items():
        alloc[address] = GenesisAccount(account.balance, account.nonce, account.code, tuple(account.storage.items()))
    alloc[EMPTY] = GenesisAccount()
    for address in HOLLOW:
        alloc[address] = GenesisAccount(0, 0, b"", ((0, 3), (4, 2**255)))
    alloc[COLLISION] = GenesisAccount(1, 0, b"", ((1, 1),))
    return alloc


@dataclass(frozen=True, slots=True)
class RandomBlock:
    """`transactions(nonce_of)` makes one of its `count` transactions; the nonces so far decide about it."""

    environment: BlockEnvironment
    transactions: Callable[[Callable[[bytes], int]], Transaction]
    count: int
    withdrawals: tuple[Withdrawal, ...]


class RandomChain:
    """Makes blocks one after the other. `imported`: with the rules of Ethereum's own chains (requests, withdrawals)."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.imported = self.random.random() < 0.4
        self.rules = Rules(
            CHAIN_ID,
            osaka_time=OSAKA_TIME,
            withdrawals=self.imported,
            requests=self.imported,
            strict_timestamps=self.imported,
        )
        self.contracts: list[Address] = list(FIXED)
        self.number = 0
        self.timestamp = 1_000
        self.base_fee = 10**9
        self.hashes: dict[int, bytes] = {}
        self.datasets: list[bytes] = [bytes(32)]

    # -- blocks --------------------------------------------------------------------------------------------------
    def next_block(self) -> RandomBlock:
        r = self.random
        self.hashes[self.number] = keccak(self.number.to_bytes(4, "big"))
        self.number += 1
        self.timestamp += r.randrange(1, 30)
        self.base_fee = max(7, self.base_fee * r.choice((7, 8, 9)) // 8)
        coinbase = r.choice([EMPTY, FOREIGN, KEYS[0].address, r.choice(self.contracts), Address(bytes(19) + b"\x02")])
        environment = BlockEnvironment(
            number=self.number,
            timestamp=self.timestamp,
            coinbase=coinbase,
            gas_limit=r.choice((3_000_000, 30_000_000)),
            base_fee=self.base_fee,
            prev_randao=Hash32(r.randbytes(32)),
            parent_hash=Hash32(self.hashes[self.number - 1]),
            parent_beacon_block_root=Hash32(r.randbytes(32)),
            block_hash=dict(self.hashes).get,
        )
        withdrawals: tuple[Withdrawal, ...] = ()
        if self.imported:
            withdrawals = tuple(
                Withdrawal(n, 1, r.choice([EMPTY, FOREIGN, self.target()]), r.choice((0, 1, 10**9)))
                for n in range(r.randrange(3))
            )
        return RandomBlock(environment, self.transaction, r.choice((0, 1, 3, 8)), withdrawals)

    def target(self) -> Address:
        r = self.random
        kind = r.random()
        if kind < 0.5:
            return r.choice(self.contracts)
        if kind < 0.65:
            return r.choice(KEYS).address
        if kind < 0.75:
            return r.choice(PRECOMPILES)
        if kind < 0.82:
            return r.choice(NATIVE)
        if kind < 0.9:
            return r.choice((EMPTY, *HOLLOW, FOREIGN, COLLISION, POOR.address))
        return Address(r.randbytes(20))

    # -- transactions --------------------------------------------------------------------------------------------
    def transaction(self, nonce_of: Callable[[bytes], int]) -> Transaction:
        r = self.random
        key = r.choice([*KEYS, POOR] if r.random() < 0.3 else KEYS)
        nonce = nonce_of(key.address)
        type_ = r.choice((0, 0, 1, 2, 2, 4))
        creates = type_ != 4 and r.random() < 0.35
        to: bytes = b"" if creates else self.target()
        data = self.initcode() if creates else self.calldata(Address(to))
        if creates:
            self.contracts.append(Address(bytes(generate_contract_address(key.address, nonce))))  # type: ignore[arg-type]
        tip = r.choice((0, 1, 10**9))
        cap = self.base_fee + max(tip, r.choice((0, 1, 10**9, 10**10)))
        if type_ < 2:
            tip = cap
        chain_id: int | None = CHAIN_ID
        gas = r.choice((90_000, 150_000, 300_000, 600_000, 900_000, 21_000 if r.random() < 0.3 else 2_000_000))
        value = r.choice((0, 0, 0, 1, 10**15))
        if r.random() < 0.12:  # something that must be refused, or nearly
            what = r.randrange(7)
            nonce += (what == 0) - (what == 1 and nonce > 0)
            cap -= (what == 2) * (cap - self.base_fee + 1)
            tip = cap + 1 if what == 3 and type_ >= 2 else min(tip, cap) if type_ >= 2 else cap
            chain_id = CHAIN_ID + 1 if what == 4 else chain_id
            gas = 2**24 + 1 if what == 5 else gas
            value = 10**21 if what == 6 else value
        if type_ == 0 and r.random() < 0.3:
            chain_id = None
        unsigned = UnsignedTransaction(
            type=type_,
            chain_id=chain_id,
            nonce=nonce,
            gas=gas,
            max_fee_per_gas=cap,
            max_priority_fee_per_gas=min(tip, 2**256 - 1),
            to=to,
            value=value,
            data=data,
            access_list=self.access_list() if type_ else (),
            authorization_list=self.authorizations(nonce_of, key) if type_ == 4 else (),
        )
        return sign_transaction(unsigned, key)

    def access_list(self) -> tuple[tuple[Address, tuple[int, ...]], ...]:
        r = self.random
        return tuple(
            (self.target(), tuple(r.randrange(SLOTS) for _ in range(r.randrange(3)))) for _ in range(r.randrange(3))
        )

    def authorizations(self, nonce_of: Callable[[bytes], int], sender: PrivateKey) -> tuple[Authorization, ...]:
        r = self.random
        entries = []
        for _ in range(r.randrange(1, 4)):
            key = r.choice(HOLLOW_KEYS) if r.random() < 0.2 else r.choice(KEYS)
            nonce = nonce_of(key.address) + (key is sender) + (r.random() < 0.15)
            entry = sign_authorization(
                key,
                chain_id=r.choice((0, CHAIN_ID, CHAIN_ID, 1)),
                address=r.choice((self.target(), r.choice(list(FIXED)), Address(bytes(20)), r.choice(KEYS).address)),
                nonce=nonce,
            )
            if r.random() < 0.1:
                entry = Authorization(entry.chain_id, entry.address, entry.nonce, entry.y_parity, entry.r, 2**256 - 1)
            entries.append(entry)
        return tuple(entries)

    def calldata(self, to: Address) -> bytes:
        r = self.random
        if to in NATIVE:
            return self.native_call(to)[1]
        code = CHURN if to in HOLLOW else FIXED.get(to)
        if code is TOKEN:
            return bytes(4) + bytes(12) + self.target() + r.choice((0, 3, 10**20)).to_bytes(32, "big")
        if code is CHURN:
            words = [r.choice((0, 0, 1, 2**255)) if n % 2 else r.randrange(SLOTS) for n in range(2 * r.randrange(12))]
            return b"".join([word.to_bytes(32, "big") for word in words])
        if code is DESTROY:
            return bytes(12) + self.target()
        if to in PRECOMPILES:
            return self.precompile_input()
        return r.choice((b"", r.randbytes(r.randrange(70)), bytes(r.randrange(100))))

    def precompile_input(self) -> bytes:
        r = self.random
        words = [r.choice((0, 1, 2, 32, r.getrandbits(256))).to_bytes(32, "big") for _ in range(r.randrange(9))]
        return b"".join(words)[: r.choice((1000, 213, 40))]

    def native_call(self, to: Address | None = None) -> tuple[Address, bytes]:
        """A call of a native precompile: `to`, or any."""
        r = self.random
        address, spec = r.choice([entry for entry in NATIVE_CALLS if to in (None, entry[0])])
        if address == CID_REGISTRY and r.random() < 0.4:  # a data set must be there for anything to happen
            spec = NATIVE_CALLS[0][1]
        values: list[object] = []
        for parameter in spec.inputs:
            values.append(self.argument(parameter.type.name, parameter.name))
        data = spec.encode_call(*values)
        return Address(address), data if r.random() < 0.95 else data[:-1] + b"\xff"

    def argument(self, type_name: str, name: str) -> object:
        r = self.random
        if type_name == "bytes":
            cid = b"\x01\x55\x12\x20" + hashlib.sha256(bytes([r.randrange(12)])).digest()
            if r.random() < 0.8:
                self.datasets.append(keccak(cid))
            return cid if name == "cid" or r.random() < 0.5 else b""
        if type_name == "address":
            return r.choice(KEYS).address
        if type_name == "bytes32":
            return r.choice(self.datasets)
        if type_name.endswith("[]"):
            return tuple(self.argument(type_name[:-2], name) for _ in range(r.randrange(2)))
        if type_name == "bool":
            return r.random() < 0.5
        return r.choice((0, 0, 1, 2, 50))

    # -- programs ------------------------------------------------------------------------------------------------
    def initcode(self) -> bytes:
        r = self.random
        kind = r.random()
        if kind < 0.05:
            return r.randbytes(r.randrange(60))
        if kind < 0.08:
            return bytes(49_153)
        program = self.program(depth=0)
        runtime = self.program(depth=1)
        size = len(runtime)
        if r.random() < 0.05:
            return program + asm(f"{r.choice((24_577, 24_576, 2_000_000))} 0 RETURN")
        if r.random() < 0.05:
            return program + asm("0xef 0 MSTORE8 1 0 RETURN")
        return program + asm(f"{size} {size} CODESIZE SUB 0 CODECOPY {size} 0 RETURN") + runtime

    def program(self, depth: int) -> bytes:
        """Straight-line code that leaves the stack as it was; now and then it ends early."""
        r = self.random
        return b"".join([self.statement(depth) for _ in range(r.randrange(1, 7))])

    def keep(self, code: bytes) -> bytes:
        """Make what `code` pushes visible in the state."""
        return code + push(self.random.randrange(SLOTS)) + asm("SSTORE")

    def statement(self, depth: int) -> bytes:
        r = self.random
        slot = r.randrange(SLOTS)
        kind = r.randrange(24)
        if kind < 5:
            return asm(f"{r.choice((0, 0, 1, 2**200))} {slot} SSTORE")
        if kind == 5:
            return self.keep(asm(f"{slot} SLOAD 1 ADD"))
        if kind == 6:
            return asm(f"{r.getrandbits(64)} {slot} TSTORE") + self.keep(asm(f"{r.randrange(SLOTS)} TLOAD"))
        if kind < 12:
            return self.call()
        if kind == 12 and depth < 2:
            return self.create(depth)
        if kind == 13:
            topics = r.randrange(5)
            words = "".join(f"{r.getrandbits(40)} " for _ in range(topics))
            return asm(f"{words}{r.randrange(70)} {r.randrange(40)} LOG{topics}")
        if kind == 14:
            name = r.choice(("BALANCE", "EXTCODESIZE", "EXTCODEHASH"))
            return self.keep(push(self.target()) + asm(name))
        if kind == 15:
            return self.keep(push(self.target()) + asm("40 0 0 DUP4 EXTCODECOPY POP 64 0 KECCAK256"))
        if kind < 18:
            names = (
                "NUMBER", "TIMESTAMP", "COINBASE", "PREVRANDAO", "GASLIMIT", "CHAINID", "SELFBALANCE", "BASEFEE",
                "BLOBBASEFEE", "ORIGIN", "GASPRICE", "CALLER", "CALLVALUE", "CALLDATASIZE", "CODESIZE", "MSIZE", "GAS",
            )  # fmt: skip
            return self.keep(asm(r.choice(names)))
        if kind == 18:
            return self.keep(asm(f"{max(0, self.number - r.randrange(4))} BLOCKHASH"))
        if kind == 19:
            return self.keep(asm(f"{r.getrandbits(100)} CLZ")) if r.random() < 0.5 else asm("64 0 32 MCOPY")
        if kind == 20:  # 64 opcodes of arithmetic
            return self.keep(asm("GAS" + " DUP1 MUL 3 ADD" * 16))
        if kind == 21 and r.random() < 0.5:
            return push(self.target()) + asm("SELFDESTRUCT")
        if kind == 22 and r.random() < 0.3:
            return r.choice((asm("STOP"), asm("INVALID"), asm("32 0 REVERT"), asm("32 0 RETURN"), r.randbytes(3)))
        return asm(f"{r.getrandbits(256)} {r.choice((0, 32, 64, 1000))} MSTORE")

    def call(self) -> bytes:
        r = self.random
        to = self.target()
        data = self.precompile_input() if to in PRECOMPILES else self.calldata(to)
        if r.random() < 0.1:
            to, data = self.native_call()
        code = b"".join(
            push(data[at : at + 32].ljust(32, b"\0")) + push(at) + asm("MSTORE")
            for at in range(0, min(len(data), 320), 32)
        )
        op = r.choice(("CALL", "CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"))
        code += asm(f"{r.choice((0, 32, 64))} 0 {min(len(data), 320)} 0")
        if op in ("CALL", "CALLCODE"):
            code += push(r.choice((0, 0, 1, 10**30)))
        code += push(to) + r.choice((asm("GAS"), asm("50000"), asm("100"), asm("0"))) + asm(op)
        code = self.keep(code)
        if r.random() < 0.5:
            code += self.keep(asm("RETURNDATASIZE"))
        if r.random() < 0.3:
            code += asm(f"{r.choice((0, 1, 32))} 0 0 RETURNDATACOPY") + self.keep(asm("0 MLOAD"))
        return code

    def create(self, depth: int) -> bytes:
        r = self.random
        inner = self.program(depth + 1) + initcode_of(self.program(depth + 1))[:400]
        if r.random() < 0.5:
            inner = initcode_of(self.program(depth + 1))
        if r.random() < 0.2:
            inner = self.program(depth + 1) + push(self.target()) + asm("SELFDESTRUCT")
        inner = inner[:1000]
        code = b"".join(
            push(inner[at : at + 32].ljust(32, b"\0")) + push(at) + asm("MSTORE") for at in range(0, len(inner), 32)
        )
        value = r.choice((0, 0, 1))
        if r.random() < 0.5:
            code += asm(f"{r.randrange(2)} {len(inner)} 0 {value} CREATE2")
        else:
            code += asm(f"{len(inner)} 0 {value} CREATE")
        if r.random() < 0.3:  # call what was made, in the same transaction
            return code + self.keep(asm("0 0 0 0 0 DUP6 GAS CALL SWAP1 POP"))
        return self.keep(code)
