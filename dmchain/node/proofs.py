"""Proofs of accounts and storage (EIP-1186), at the head and at kept heights.

The database holds the trie of the head only. For an older height the flat differences are laid back over it, which
gives that height's trie; its root must come out as the header has it.
"""

from __future__ import annotations

from collections.abc import Sequence

from dmchain.chain.blockchain import ChainView
from dmchain.chain.primitives.block import EMPTY_TRIE_ROOT
from dmchain.chain.primitives.codec import encode_int
from dmchain.chain.primitives.errors import InvariantBroken
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.store.kv import Reader
from dmchain.chain.trie import BatchTrie, NodeReader, prove
from dmchain.marketplace_vm.state import (
    NO_ACCOUNT,
    hash_key,
    read_account,
    read_slot,
    state_nodes,
    storage_nodes,
)
from dmchain.rpc.backend import Account, AccountProof, StopFlag, StorageProof


class _Overlay:
    """Nodes of a trie with the changes of an update laid over them."""

    def __init__(self, base: NodeReader, changes: dict[bytes, bytes | None]) -> None:
        self._base = base
        self._changes = changes

    def get(self, path: bytes) -> bytes | None:
        if path in self._changes:
            return self._changes[path]
        return self._base.get(path)


class StateProver:
    """Proofs on the state after one block of a view."""

    def __init__(self, view: ChainView, state: Reader, height: int) -> None:
        header = view.blocks.header(height)
        if header is None:
            raise InvariantBroken(f"block {height} is not in the view")
        self._view = view
        self._state = state
        self._root = header.state_root
        self._differences = {} if height == view.head.number else view.history.differences_of(state, height)

    def prove(self, address: Address, slots: Sequence[int], stop: StopFlag) -> AccountProof:
        nonce, balance, code_hash, storage_root = read_account(self._state, address) or NO_ACCOUNT
        nodes = self._state_nodes(stop)
        proof = tuple(prove(nodes, self._root, hash_key(address)))
        slot_nodes = self._storage_nodes(address, storage_root, stop) if slots else nodes
        storage = []
        for slot in slots:
            stop.check()
            value = read_slot(self._state, address, slot)
            path = prove(slot_nodes, storage_root, hash_key(slot.to_bytes(32, "big")))
            storage.append(StorageProof(slot, value, tuple(path)))
        account = Account(nonce, balance, Hash32(code_hash), Hash32(storage_root))
        return AccountProof(account, proof, tuple(storage))

    def _state_nodes(self, stop: StopFlag) -> NodeReader:
        nodes = state_nodes(self._view.snapshot)
        leaves = {hash_key(key[1:]): value or b"" for key, value in self._differences.items() if key[:1] == b"a"}
        return self._at_root(nodes, self._view.head.state_root, leaves, self._root, stop)

    def _storage_nodes(self, address: bytes, root: bytes, stop: StopFlag) -> NodeReader:
        nodes = storage_nodes(self._view.snapshot, address)
        prefix = b"s" + address
        leaves = {
            hash_key(key[21:]): encode_int(int.from_bytes(value, "big")) if value else b""
            for key, value in self._differences.items()
            if key.startswith(prefix)
        }
        at_head = read_account(self._view.snapshot, address)
        return self._at_root(nodes, at_head[3] if at_head else EMPTY_TRIE_ROOT, leaves, root, stop)

    def _at_root(
        self, nodes: NodeReader, root: bytes, leaves: dict[bytes, bytes], wanted: bytes, stop: StopFlag
    ) -> NodeReader:
        if root == wanted:
            return nodes
        stop.check()
        trie = BatchTrie(nodes, root)
        if trie.update(leaves) != wanted:
            raise InvariantBroken(f"history gives the root 0x{trie.root.hex()}, the header has 0x{wanted.hex()}")
        return _Overlay(nodes, trie.changes)
