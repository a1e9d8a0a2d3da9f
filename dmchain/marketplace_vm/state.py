"""Flat state: accounts, storage and code by key in LevelDB, with dict overlays and one undo list.

Finality is instant, so there are no forks: the database holds the state at head, and a block moves it. py-evm's own
account database keeps everything in tries and copies; per transfer it costs fifteen times as much (docs/execution.md).

The state of one block lives in three layers:

* `accounts`, `storage`: this block's overlay, reads included. The EVM touches these only.
* `StateCache`: values at head that earlier blocks left behind. Changed by `StateCache.absorb` alone, after a commit,
  so a block that is executed but never decided leaves no trace.
* the `Reader`: LevelDB, or a snapshot of it, or one block of history.

INVARIANT: every change of an overlay within a transaction goes through `journal`, so that `discard(mark)` restores
exactly what `record()` saw. Warm addresses and slots (EIP-2929) and transient storage (EIP-1153) are in it too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eth.abc import AccountDatabaseAPI

from dmchain.chain.executor import StateChanges
from dmchain.chain.primitives.block import EMPTY_TRIE_ROOT
from dmchain.chain.primitives.codec import encode_int, encode_list, split_list
from dmchain.chain.primitives.crypto import EMPTY_CODE_HASH, keccak
from dmchain.chain.primitives.errors import InvariantBroken
from dmchain.chain.primitives.types import Hash32
from dmchain.chain.store import schema
from dmchain.chain.store.kv import Reader, prefix_end
from dmchain.chain.trie import BatchTrie, NodeCache

Account = tuple[int, int, bytes, bytes]
"""(nonce, balance in wei, code hash, storage root)."""
Slot = tuple[bytes, int]

NO_ACCOUNT: Account = (0, 0, EMPTY_CODE_HASH, EMPTY_TRIE_ROOT)
MISSING: Any = object()
"""In the journal: the key was not there."""

MAX_CACHED_ACCOUNTS = 500_000
MAX_CACHED_SLOTS = 1_000_000
MAX_CACHED_CODE_BYTES = 64 * 1024 * 1024
MAX_CACHED_NODES = 100_000
"""In each of the two generations of the trie's node cache; most are leaves of some 200 bytes."""


def encode_account(account: Account) -> bytes:
    """RLP [nonce, balance, storage root, code hash], as the state trie holds it."""
    nonce, balance, code_hash, storage_root = account
    return encode_list(encode_int(nonce) + encode_int(balance) + b"\xa0" + storage_root + b"\xa0" + code_hash)


def decode_account(raw: bytes) -> Account:
    nonce, balance, storage_root, code_hash = split_list(raw)
    return int.from_bytes(nonce, "big"), int.from_bytes(balance, "big"), code_hash, storage_root


def encode_slot(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) >> 3, "big")


_HASHED_KEYS: dict[bytes, bytes] = {}


def hash_key(key: bytes) -> bytes:
    """keccak(key), remembered: the same addresses and slots come back block after block."""
    digest = _HASHED_KEYS.get(key)
    if digest is None:
        if len(_HASHED_KEYS) >= MAX_CACHED_ACCOUNTS:
            _HASHED_KEYS.clear()
        digest = _HASHED_KEYS[key] = keccak(key)
    return digest


class CodeCache:
    """Code by hash, bounded by bytes. Content-addressed, so any number of states and threads may share one."""

    def __init__(self) -> None:
        self._codes: dict[bytes, bytes] = {}
        self._size = 0

    def get(self, code_hash: bytes) -> bytes | None:
        return self._codes.get(code_hash)

    def put(self, code_hash: bytes, code: bytes) -> None:
        if self._size > MAX_CACHED_CODE_BYTES:
            self._codes.clear()
            self._size = 0
        self._codes[code_hash] = code
        self._size += len(code)


class StateCache:
    """What is known of the state at head, decoded. Belongs to the one chain that executes blocks."""

    def __init__(self) -> None:
        self.accounts: dict[bytes, Account | None] = {}
        self.storage: dict[Slot, int] = {}
        self.nodes = NodeCache(MAX_CACHED_NODES)

    def absorb(self, seen: Seen) -> None:
        """Take over what a committed block read and wrote."""
        if len(self.accounts) > MAX_CACHED_ACCOUNTS:
            self.accounts.clear()
        if len(self.storage) > MAX_CACHED_SLOTS:
            self.storage.clear()
        for address in seen.wiped:
            for slot in [slot for slot in self.storage if slot[0] == address]:
                del self.storage[slot]
        self.accounts.update(seen.accounts)
        self.storage.update(seen.storage)

    def clear(self) -> None:
        """Forget everything: the head has moved backwards."""
        self.accounts.clear()
        self.storage.clear()


@dataclass(slots=True)
class Seen:
    """The overlay of a finished block: what it read and wrote, for the cache."""

    accounts: dict[bytes, Account | None]
    storage: dict[Slot, int]
    wiped: tuple[bytes, ...]


class _NodeReader:
    """The nodes of one trie in the database: `prefix` then the path."""

    __slots__ = ("_get", "_prefix")

    def __init__(self, get: Callable[[bytes], bytes | None], prefix: bytes) -> None:
        self._get = get
        self._prefix = prefix

    def get(self, path: bytes) -> bytes | None:
        return self._get(self._prefix + path)


def state_nodes(reader: Reader) -> _NodeReader:
    return _NodeReader(reader.get, b"t")


def storage_nodes(reader: Reader, address: bytes) -> _NodeReader:
    return _NodeReader(reader.get, b"u" + address)


class _NoNodes:
    def get(self, path: bytes) -> bytes | None:
        return None


class FlatState(AccountDatabaseAPI):
    """py-evm's account database on flat keys.

    Parameters: `reader` gives the state the block starts from; `cache` what is known of that same state; `codes` may be
    shared by anything. py-evm's opcodes call by keyword: `address`, `slot` and `value` are part of the interface.
    """

    def __init__(self, reader: Reader, *, cache: StateCache | None = None, codes: CodeCache | None = None) -> None:
        self._reader = reader
        self._read = reader.get
        self._cache = cache or StateCache()
        self._codes = codes or CodeCache()
        self.acc: dict[bytes, Account | None] = {}
        self.sto: dict[Slot, int] = {}
        self.orig: dict[Slot, int] = {}
        """Value at the start of the transaction of each slot that it wrote (EIP-2200)."""
        self.warm: dict[Any, bool] = {}
        self.transient: dict[Slot, Any] = {}
        self.wiped: dict[bytes, bool] = {}
        self.journal: list[tuple[dict[Any, Any], Any, Any]] = []
        self.dirty_accounts: dict[bytes, Account | None] = {}
        """Address -> account before the block, for everything that may have changed."""
        self.dirty_storage: dict[bytes, dict[int, int]] = {}
        """Address -> slot -> value before the block."""
        self._new_codes: dict[bytes, bytes] = {}

    # -- journal -------------------------------------------------------------------------------------------------
    def _set(self, target: dict[Any, Any], key: Any, value: Any) -> None:
        self.journal.append((target, key, target.get(key, MISSING)))
        target[key] = value

    def record(self) -> int:
        """Return a mark for `discard`."""
        return len(self.journal)

    def discard(self, checkpoint: int) -> None:
        """Undo everything since the mark."""
        journal = self.journal
        while len(journal) > checkpoint:
            target, key, value = journal.pop()
            if value is MISSING:
                del target[key]
            else:
                target[key] = value

    def commit(self, checkpoint: int) -> None:
        """Keep everything since the mark: nothing to do with an undo list."""

    def lock_changes(self) -> None:
        """Begin a transaction: what is done is done, nothing is warm, transient storage is empty."""
        self.journal.clear()
        self.warm.clear()
        self.orig.clear()
        self.transient.clear()

    def rewind(self) -> None:
        """Undo everything since `lock_changes`, and forget that it happened; what was read stays known.

        For calls on a state that nobody commits. Not after `delete_storage`: zeros read of a wiped account would stay.
        """
        self.discard(0)
        self.warm.clear()
        self.orig.clear()
        self.dirty_accounts.clear()
        self.dirty_storage.clear()
        self._new_codes.clear()

    def delete_empty_touched_accounts(self) -> None:
        """End of a transaction (EIP-161): every account it touched and left empty ceases to exist."""
        accounts = self.acc
        for target, key, _ in list(self.journal):
            if target is accounts:
                account = accounts[key]
                if account is not None and account[0] == 0 and account[1] == 0 and account[2] == EMPTY_CODE_HASH:
                    self.delete_account(key)

    # -- accounts ------------------------------------------------------------------------------------------------
    def account(self, address: bytes) -> Account | None:
        account = self.acc.get(address, MISSING)
        if account is MISSING:
            account = self._cache.accounts.get(address, MISSING)
            if account is MISSING:
                raw = self._read(b"a" + address)
                account = None if raw is None else decode_account(raw)
            self.acc[address] = account
        return account  # type: ignore[no-any-return]

    def put_account(self, address: bytes, account: Account | None) -> None:
        """Replace an account that `account` has read before."""
        old = self.acc[address]
        self.journal.append((self.acc, address, old))
        if address not in self.dirty_accounts:
            self.dirty_accounts[address] = old
        self.acc[address] = account

    def get_balance(self, address: bytes) -> int:
        account = self.account(address)
        return account[1] if account else 0

    def set_balance(self, address: bytes, balance: int) -> None:
        if not 0 <= balance < 1 << 256:
            raise InvariantBroken(f"balance of {address.hex()} would become {balance}")
        account = self.account(address) or NO_ACCOUNT
        self.put_account(address, (account[0], balance, account[2], account[3]))

    def get_nonce(self, address: bytes) -> int:
        account = self.account(address)
        return account[0] if account else 0

    def set_nonce(self, address: bytes, nonce: int) -> None:
        account = self.account(address) or NO_ACCOUNT
        self.put_account(address, (nonce, account[1], account[2], account[3]))

    def increment_nonce(self, address: bytes) -> None:
        account = self.account(address) or NO_ACCOUNT
        self.put_account(address, (account[0] + 1, account[1], account[2], account[3]))

    def get_code_hash(self, address: bytes) -> bytes:
        account = self.account(address)
        return account[2] if account else EMPTY_CODE_HASH

    def get_code(self, address: bytes) -> bytes:
        account = self.account(address)
        if account is None or account[2] == EMPTY_CODE_HASH:
            return b""
        return self.code_by_hash(account[2])

    def code_by_hash(self, code_hash: bytes) -> bytes:
        code = self._new_codes.get(code_hash)
        if code is None:
            code = self._codes.get(code_hash)
        if code is None:
            code = self._read(b"c" + code_hash)
            if code is None:
                raise InvariantBroken(f"code {code_hash.hex()} is not in the database")
            self._codes.put(code_hash, code)
        return code

    def set_code(self, address: bytes, code: bytes) -> None:
        code_hash = keccak(code) if code else EMPTY_CODE_HASH
        if code:
            self._new_codes[code_hash] = code
        account = self.account(address) or NO_ACCOUNT
        self.put_account(address, (account[0], account[1], code_hash, account[3]))

    def delete_code(self, address: bytes) -> None:
        self.set_code(address, b"")

    def account_has_code_or_nonce(self, address: bytes) -> bool:
        """Whether a contract cannot be created here (EIP-684, and EIP-7610: storage counts too)."""
        account = self.account(address)
        if account is None:
            return False
        return account[0] != 0 or account[2] != EMPTY_CODE_HASH or self.has_storage(address)

    def has_storage(self, address: bytes) -> bool:
        """Whether the account had storage when the block began, or a slot of it is set now."""
        account = self.account(address)
        if account is None:
            return False
        if account[3] != EMPTY_TRIE_ROOT and address not in self.wiped:
            return True
        return any(self.sto.get((address, slot)) for slot in self.dirty_storage.get(address, ()))

    def account_exists(self, address: bytes) -> bool:
        return self.account(address) is not None

    def account_is_empty(self, address: bytes) -> bool:
        account = self.account(address)
        return account is None or (account[0] == 0 and account[1] == 0 and account[2] == EMPTY_CODE_HASH)

    def touch_account(self, address: bytes) -> None:
        """Note that an empty account was called, so that the end of the transaction removes it."""
        account = self.account(address)
        if account is None or (account[0] == 0 and account[1] == 0 and account[2] == EMPTY_CODE_HASH):
            self.put_account(address, account or NO_ACCOUNT)

    def delete_account(self, address: bytes) -> None:
        self.delete_storage(address)
        self.account(address)
        self.put_account(address, None)

    # -- storage -------------------------------------------------------------------------------------------------
    def get_storage(self, address: bytes, slot: int, from_journal: bool = True) -> int:
        """The value now, or with `from_journal=False` at the start of the transaction."""
        key = (address, slot)
        if not from_journal:
            original = self.orig.get(key)
            if original is not None:
                return original
        value = self.sto.get(key)
        if value is None:
            value = self.sto[key] = self._load_slot(key)
        return value

    def _load_slot(self, key: Slot) -> int:
        address, slot = key
        if address in self.wiped:
            return 0
        value = self._cache.storage.get(key)
        if value is not None:
            return value
        account = self.account(address)
        if account is None or account[3] == EMPTY_TRIE_ROOT:
            return 0
        raw = self._read(b"s" + address + slot.to_bytes(32, "big"))
        return 0 if raw is None else int.from_bytes(raw, "big")

    def set_storage(self, address: bytes, slot: int, value: int) -> None:
        current = self.get_storage(address, slot)
        key = (address, slot)
        if key not in self.orig:
            self.orig[key] = current
        if current != value:
            self.journal.append((self.sto, key, current))
            self.mark_slot_dirty(address, slot, current)
            self.sto[key] = value

    def mark_slot_dirty(self, address: bytes, slot: int, before: int) -> None:
        """Note a slot that is about to change. The first call of a block gives the value before the block."""
        slots = self.dirty_storage.get(address)
        if slots is None:
            slots = self.dirty_storage[address] = {}
        if slot not in slots:
            slots[slot] = before

    def delete_storage(self, address: bytes) -> None:
        account = self.account(address)
        if account is None:
            return
        for slot in self.dirty_storage.get(address, ()):
            if self.sto.get((address, slot)):
                self._set(self.sto, (address, slot), 0)
        if account[3] != EMPTY_TRIE_ROOT and address not in self.wiped:
            for key in [key for key in self.sto if key[0] == address and self.sto[key]]:
                self.mark_slot_dirty(address, key[1], self.sto[key])
                self._set(self.sto, key, 0)
            self._set(self.wiped, address, True)

    # -- transient storage (EIP-1153) and warm sets (EIP-2929) ---------------------------------------------------
    def get_transient(self, address: bytes, slot: int) -> Any:
        return self.transient.get((address, slot), b"")

    def set_transient(self, address: bytes, slot: int, value: Any) -> None:
        self._set(self.transient, (address, slot), value)

    def is_address_warm(self, address: bytes) -> bool:
        return address in self.warm

    def mark_address_warm(self, address: bytes) -> None:
        if address not in self.warm:
            self._set(self.warm, address, True)

    def is_storage_warm(self, address: bytes, slot: int) -> bool:
        return (address, slot) in self.warm

    def mark_storage_warm(self, address: bytes, slot: int) -> None:
        key = (address, slot)
        if key not in self.warm:
            self._set(self.warm, key, True)

    # -- end of a block ------------------------------------------------------------------------------------------
    def compute_changes(self, parent_root: bytes) -> StateChanges:
        """Compute the roots, once, and everything the database must be told. The state is spent afterwards."""
        wiped = tuple(sorted(self.wiped))
        changes = StateChanges(Hash32(parent_root), seen=Seen(self.acc, self.sto, wiped))
        writes, undo = changes.writes, changes.undo
        for address in wiped:
            self._wipe(address, changes)
        for address, slots in self.dirty_storage.items():
            self._update_storage(address, slots, changes)
        leaves: dict[bytes, bytes] = {}
        for address, before in self.dirty_accounts.items():
            account = self.acc[address]
            if account == before:
                continue
            key = b"a" + address
            undo[key] = None if before is None else encode_account(before)
            if account is None:
                leaves[hash_key(address)] = b""
                writes.append((key, None))
            else:
                encoded = encode_account(account)
                leaves[hash_key(address)] = encoded
                writes.append((key, encoded))
        if leaves:
            trie = BatchTrie(state_nodes(self._reader), parent_root, self._cache.nodes)
            changes.state_root = trie.update(leaves)
            for path, node in trie.changes.items():
                writes.append((b"t" + path, node))
        for code_hash, code in self._new_codes.items():
            writes.append((b"c" + code_hash, code))
            self._codes.put(code_hash, code)
        return changes

    def _wipe(self, address: bytes, changes: StateChanges) -> None:
        """Delete what the database holds of an account's storage (only accounts without code or nonce come here)."""
        prefix = b"s" + address
        for key, value in self._reader.iterate(prefix, prefix_end(prefix)):
            changes.writes.append((key, None))
            changes.undo[key] = value
        prefix = b"u" + address
        for key, _ in self._reader.iterate(prefix, prefix_end(prefix)):
            changes.writes.append((key, None))
        account = self.acc[address]
        if account is not None and account[3] != EMPTY_TRIE_ROOT:
            self._replace_root(address, account, EMPTY_TRIE_ROOT)

    def _update_storage(self, address: bytes, slots: dict[int, int], changes: StateChanges) -> None:
        account = self.acc[address] if address in self.acc else self.account(address)
        if account is None:
            return
        wiped = address in self.wiped
        leaves: dict[bytes, bytes] = {}
        for slot, before in slots.items():
            value = self.sto[(address, slot)]
            if value == before and not wiped:
                continue
            slot_bytes = slot.to_bytes(32, "big")
            key = b"s" + address + slot_bytes
            if not wiped:
                changes.undo[key] = encode_slot(before) if before else None
            elif value and key not in changes.undo:
                changes.undo[key] = None
            if value:
                leaves[hash_key(slot_bytes)] = encode_int(value)
                changes.writes.append((key, encode_slot(value)))
            elif not wiped:
                leaves[hash_key(slot_bytes)] = b""
                changes.writes.append((key, None))
        if not leaves:
            return
        if wiped:
            trie = BatchTrie(_NoNodes())
        else:
            trie = BatchTrie(storage_nodes(self._reader, address), account[3], self._cache.nodes)
        root = trie.update(leaves)
        for path, node in trie.changes.items():
            changes.writes.append((b"u" + address + path, node))
        if root != account[3]:
            self._replace_root(address, account, root)

    def _replace_root(self, address: bytes, account: Account, root: bytes) -> None:
        self.dirty_accounts.setdefault(address, account)
        self.acc[address] = (account[0], account[1], account[2], root)

    # -- the rest of py-evm's interface, which the block executor does not use ------------------------------------
    @property
    def state_root(self) -> bytes:
        return EMPTY_TRIE_ROOT

    @state_root.setter
    def state_root(self, value: bytes) -> None:
        pass

    def has_root(self, state_root: bytes) -> bool:
        return True

    def make_state_root(self) -> bytes:
        return EMPTY_TRIE_ROOT

    def persist(self) -> Any:
        raise InvariantBroken("the block executor commits; nothing else may")


def restore_flat_keys(reader: Reader, state_root: bytes, values: Mapping[bytes, bytes | None]) -> StateChanges:
    """Put accounts and slots back to `values` (an undo record, merged over some blocks), tries included.

    The accounts in `values` carry the storage roots that their slots must give; raises InvariantBroken otherwise.
    """
    changes = StateChanges(Hash32(state_root))
    slots: dict[bytes, dict[bytes, bytes]] = {}
    accounts: dict[bytes, bytes] = {}
    for key, value in values.items():
        before = reader.get(key)
        if before == value:
            continue
        changes.writes.append((key, value))
        changes.undo[key] = before
        if key[:1] == b"a":
            accounts[key[1:]] = value or b""
        else:
            leaf = encode_int(int.from_bytes(value, "big")) if value else b""
            slots.setdefault(key[1:21], {})[hash_key(key[21:])] = leaf
    for address, leaves in slots.items():
        now = read_account(reader, address)
        trie = BatchTrie(storage_nodes(reader, address), now[3] if now else EMPTY_TRIE_ROOT)
        root = trie.update(leaves)
        wanted = decode_account(accounts[address])[3] if accounts.get(address) else EMPTY_TRIE_ROOT
        if root != wanted:
            raise InvariantBroken(f"storage of 0x{address.hex()}: restored root 0x{root.hex()}, want 0x{wanted.hex()}")
        changes.writes.extend((b"u" + address + path, node) for path, node in trie.changes.items())
    state = BatchTrie(state_nodes(reader), state_root)
    changes.state_root = state.update({hash_key(address): raw for address, raw in accounts.items()})
    changes.writes.extend((b"t" + path, node) for path, node in state.changes.items())
    return changes


def rebuild_state_root(reader: Reader) -> bytes:
    """The state root that the flat accounts and slots give, from nothing; reads the whole state.

    Raises InvariantBroken when an account's storage does not give the root that the account carries.
    """
    leaves: dict[bytes, bytes] = {}
    for key, raw in reader.iterate(b"a", b"b"):
        address = key[1:]
        prefix = b"s" + address
        slots: dict[bytes, bytes] = {
            keccak(slot[21:]): encode_int(int.from_bytes(value, "big"))
            for slot, value in reader.iterate(prefix, prefix_end(prefix))
        }
        root = BatchTrie(_NoNodes()).update(slots)
        wanted = decode_account(raw)[3]
        if root != wanted:
            raise InvariantBroken(f"storage of 0x{address.hex()}: slots give 0x{root.hex()}, want 0x{wanted.hex()}")
        leaves[keccak(address)] = raw
    return BatchTrie(_NoNodes()).update(leaves)


def read_account(reader: Reader, address: bytes) -> Account | None:
    """One account straight from a view of the database."""
    raw = reader.get(schema.account_key(address))
    return None if raw is None else decode_account(raw)


def read_slot(reader: Reader, address: bytes, slot: int) -> int:
    raw = reader.get(schema.storage_key(address, slot))
    return 0 if raw is None else int.from_bytes(raw, "big")


def read_code(reader: Reader, address: bytes) -> bytes:
    account = read_account(reader, address)
    if account is None or account[2] == EMPTY_CODE_HASH:
        return b""
    return reader.get(schema.code_key(account[2])) or b""
