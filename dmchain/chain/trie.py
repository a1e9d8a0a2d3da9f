"""Merkle-Patricia tries updated a batch at a time, and their proofs.

`BatchTrie.update` applies all changes of a block in one walk from the root: each touched node is decoded, encoded and
hashed once. Nodes are stored by path in their trie, not by hash, so a store holds exactly the live nodes and pruning
one contract's trie cannot take an identical subtree from another. Only nodes referenced by hash are stored, and the
root, always, at path b"".

Keys must be prefix-free: 32-byte hashes in state and storage tries, rlp(index) in the ordered ones.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

import sha3

from dmchain.chain.primitives.codec import encode_int
from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.primitives.types import Hash32
from dmchain.chain.trie_node import (
    BLANK,
    HASH_REF_SIZE,
    MalformedNode,
    Node,
    decode_node,
    encode_node,
    to_nibbles,
)

_keccak_256 = sha3.keccak_256
_HASH_MARK = b"\xa0"

EMPTY_ROOT = Hash32(_keccak_256(BLANK).digest())
"""keccak(rlp(b"")): the root of a trie without keys."""

MAX_PROOF_NODES = 65
"""A 32-byte key has 64 nibbles; each node but the last consumes at least one."""

DEFAULT_CACHE_NODES = 32_768
"""A full branch takes about 1.4 kB decoded, so two generations of this size stay below 90 MB."""

_Work: TypeAlias = tuple[bytes, bytes, bool]
"""(nibbles of the key, value, True) or, for an extension carried to a new place, (its full path, child, False).
In a batch an empty value deletes the key."""


class TrieCorruption(DmchainError):
    """The store lacks a node or holds another than the root promises."""

    hint = "the database is damaged: restore a backup or sync again"


class ProofError(DmchainError):
    """A proof is malformed or does not belong to the root."""


class NodeReader(Protocol):
    """The stored nodes of one trie; the owner is bound by whoever made the reader."""

    def get(self, path: bytes, /) -> bytes | None:
        """Return the RLP of the node at `path` (nibbles) or None."""


class NodeCache:
    """Decoded nodes by reference, shared by tries and blocks.

    INVARIANT: a node is filed under its own hash and never modified, so an entry can be unused but not wrong: blocks
    that are executed and then dropped, or an older root that is read again, do no harm. Bounded to two generations
    of `limit` nodes; what is not used while one generation fills up is forgotten.
    """

    __slots__ = ("_limit", "_old", "_young")

    def __init__(self, limit: int = DEFAULT_CACHE_NODES) -> None:
        self._limit = limit
        self._young: dict[bytes, Node] = {}
        self._old: dict[bytes, Node] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, reference: bytes) -> Node | None:
        node = self._young.get(reference)
        if node is None:
            node = self._old.pop(reference, None)
            if node is not None:
                self.put(reference, node)
        return node

    def put(self, reference: bytes, node: Node) -> None:
        young = self._young
        if len(young) >= self._limit:
            self._old = young
            self._young = young = {}
        young[reference] = node


class BatchTrie:
    """One trie, from a stored root to as many updates as wanted.

    `changes` collects what the store needs to follow: path -> node RLP, or None where a node has vanished. After an
    exception the object must be dropped.
    """

    __slots__ = ("_cache", "_reader", "changes", "root")

    def __init__(self, reader: NodeReader, root: bytes = EMPTY_ROOT, cache: NodeCache | None = None) -> None:
        self._reader = reader
        self._cache = cache
        self.root = Hash32(root)
        self.changes: dict[bytes, bytes | None] = {}

    def update(self, items: Mapping[bytes, bytes]) -> Hash32:
        """Set each key to its value, delete those whose value is b"", and return the new root.

        Raises TrieCorruption when the store does not match the root.
        """
        if not items:
            return self.root
        work: list[_Work] = [(to_nibbles(key), value, True) for key, value in sorted(items.items())]
        old = None if self.root == EMPTY_ROOT else self._load(b"", _HASH_MARK + self.root)
        new = self._update(old, work, 0)
        if new is old:
            return self.root
        if new is None:
            self.changes[b""] = None
            self.root = EMPTY_ROOT
        else:
            raw = encode_node(new)
            self.root = Hash32(self._store(b"", raw, new)[1:])
        return self.root

    def _load(self, path: bytes, reference: bytes) -> Node:
        if len(reference) != HASH_REF_SIZE:
            return decode_node(reference)
        cache = self._cache
        node = None if cache is None else cache.get(reference)
        if node is None:
            raw = self.changes.get(path)
            if raw is None:
                raw = _read_verified(self._reader, path, reference)
            node = decode_node(raw)
            if cache is not None:
                cache.put(reference, node)
        return node

    def _store(self, path: bytes, raw: bytes, node: Node) -> bytes:
        self.changes[path] = raw
        reference: bytes = _HASH_MARK + _keccak_256(raw).digest()
        if self._cache is not None:
            self._cache.put(reference, node)
        return reference

    def _settle(self, path: bytes, old_reference: bytes, new: Node | None) -> bytes:
        """Put `new` where `old_reference` pointed; return the parent's new reference."""
        if new is not None:
            raw = encode_node(new)
            if len(raw) >= 32:
                return self._store(path, raw, new)
        else:
            raw = BLANK
        if len(old_reference) == HASH_REF_SIZE:
            self.changes[path] = None
        return raw

    # The three methods below return the node that takes the place of `node`: None if no key is left, and the very
    # same object if nothing changed. They settle children, never the node itself: that is the parent's, which may
    # still merge it into another.

    def _update(self, node: Node | None, work: list[_Work], depth: int) -> Node | None:
        """Apply `work`, sorted and not empty, below `node`, whose path is the first `depth` nibbles of each key."""
        if node is None:
            inserts = [item for item in work if item[1]]
            return self._build(inserts, depth) if inserts else None
        if isinstance(node, list):
            return self._update_branch(node, work, depth)
        if node[2]:
            return self._update_leaf(node, work, depth)
        return self._update_extension(node, work, depth)

    def _update_branch(self, node: list[bytes], work: list[_Work], depth: int) -> Node | None:
        if len(work) == 1 and work[0][1]:
            return self._set_below_branch(node, work, depth)
        fresh: dict[int, Node | None] = {}
        path = work[0][0][:depth]
        shrinks = False
        for nibble, part in _split(work, depth):
            reference = node[nibble]
            old = None if reference == BLANK else self._load(path + bytes((nibble,)), reference)
            new = self._update(old, part, depth + 1)
            if new is not old:
                fresh[nibble] = new
                shrinks = shrinks or new is None
        if not fresh:
            return node
        if shrinks:
            live = [n for n in range(16) if (fresh[n] is not None if n in fresh else node[n] != BLANK)]
            if len(live) < 2:
                return self._collapse(node, fresh, live, path)
        branch = node.copy()
        for nibble, new in fresh.items():
            branch[nibble] = self._settle(path + bytes((nibble,)), node[nibble], new)
        return branch

    def _set_below_branch(self, node: list[bytes], work: list[_Work], depth: int) -> Node:
        """The commonest case, cheaper for it: a single key, which stays."""
        key = work[0][0]
        nibble = key[depth]
        path = key[: depth + 1]
        reference = node[nibble]
        old = None if reference == BLANK else self._load(path, reference)
        new = self._update(old, work, depth + 1)
        if new is old:
            return node
        branch = node.copy()
        branch[nibble] = self._settle(path, reference, new)
        return branch

    def _collapse(
        self, node: list[bytes], fresh: dict[int, Node | None], live: list[int], path: bytes
    ) -> Node | None:
        """A branch with one child left becomes a short node, one with none vanishes."""
        for nibble in fresh:
            if nibble not in live:
                self._settle(path + bytes((nibble,)), node[nibble], None)
        if not live:
            return None
        nibble = live[0]
        step = bytes((nibble,))
        child_path = path + step
        child = fresh[nibble] if nibble in fresh else self._load(child_path, node[nibble])
        assert child is not None
        if not isinstance(child, list):
            self._settle(child_path, node[nibble], None)  # it moves up into the short node
            return step + child[0], child[1], child[2]
        reference = self._settle(child_path, node[nibble], child) if nibble in fresh else node[nibble]
        return step, reference, False

    def _update_leaf(self, node: tuple[bytes, bytes, bool], work: list[_Work], depth: int) -> Node | None:
        key = work[0][0][:depth] + node[0]
        if len(work) == 1 and work[0][0] == key:
            value = work[0][1]
            if value == node[1]:
                return node
            return (node[0], value, True) if value else None
        merged = [item for item in work if item[1]]
        for item in work:
            if item[0] == key:
                if item[1] == node[1] and len(merged) == 1:
                    return node
                break
        else:
            if not merged:
                return node
            insort(merged, (key, node[1], True))
        return self._build(merged, depth) if merged else None

    def _update_extension(
        self, node: tuple[bytes, bytes, bool], work: list[_Work], depth: int
    ) -> Node | None:
        path, reference, _ = node
        child_path = work[0][0][:depth] + path
        inside = [item for item in work if item[0].startswith(child_path)]
        outside = work if not inside else [item for item in work if not item[0].startswith(child_path)]
        outside = [item for item in outside if item[1]]
        kept: Node | None = node
        if inside:
            old = self._load(child_path, reference)
            new = self._update(old, inside, depth + len(path))
            if new is not old:
                if isinstance(new, list):
                    kept = path, self._settle(child_path, reference, new), False
                else:
                    self._settle(child_path, reference, None)  # gone, or merged into the extension
                    kept = None if new is None else (path + new[0], new[1], new[2])
        if not outside:
            return kept
        if kept is not None:
            assert not isinstance(kept, list)
            insort(outside, (work[0][0][:depth] + kept[0], kept[1], kept[2]))
        return self._build(outside, depth)

    def _build(self, work: list[_Work], depth: int) -> Node:
        """Make a subtree of new nodes from `work`, sorted and not empty, which holds no deletes."""
        first, payload, is_leaf = work[0]
        if len(work) == 1:
            return first[depth:], payload, is_leaf
        last = work[-1][0]
        fork = depth
        while first[fork] == last[fork]:
            fork += 1
        branch = [BLANK] * 17
        for nibble, part in _split(work, fork):
            key, payload, is_leaf = part[0]
            if not is_leaf and len(key) == fork + 1 and len(part) == 1:
                # the extension ends here: its child hangs on the branch, at the same path
                branch[nibble] = payload
            else:
                branch[nibble] = self._settle(key[: fork + 1], BLANK, self._build(part, fork + 1))
        if fork == depth:
            return branch
        return first[depth:fork], self._settle(first[:fork], BLANK, branch), False


def _split(work: list[_Work], depth: int) -> list[tuple[int, list[_Work]]]:
    """Group sorted `work` by the nibble at `depth`."""
    nibble = work[0][0][depth]
    if nibble == work[-1][0][depth]:
        return [(nibble, work)]
    groups = []
    start = 0
    for at, item in enumerate(work):
        if item[0][depth] != nibble:
            groups.append((nibble, work[start:at]))
            start = at
            nibble = item[0][depth]
    groups.append((nibble, work[start:]))
    return groups


def _read_verified(reader: NodeReader, path: bytes, reference: bytes) -> bytes:
    """Read a node that `reference` names by hash; one keccak per node read is cheap against a silent fork."""
    raw = reader.get(path)
    if raw is None:
        raise TrieCorruption(
            f"trie node at path {_show(path)}: expected hash 0x{reference[1:].hex()}, got nothing"
        )
    digest = _keccak_256(raw).digest()
    if digest != reference[1:]:
        raise TrieCorruption(
            f"trie node at path {_show(path)}: expected hash 0x{reference[1:].hex()}, got 0x{digest.hex()}"
        )
    return raw


def _show(path: bytes) -> str:
    return "".join(f"{nibble:x}" for nibble in path) or "(root)"


class _NoNodes:
    def get(self, path: bytes, /) -> bytes | None:
        return None


def ordered_root(values: Sequence[bytes]) -> Hash32:
    """Return the root of the trie rlp(index) -> value (transactions, receipts, withdrawals); no value is empty."""
    return BatchTrie(_NoNodes()).update({encode_int(index): value for index, value in enumerate(values)})


def prove(reader: NodeReader, root: bytes, key: bytes) -> list[bytes]:
    """Return the stored nodes from the root to `key` or to where its absence shows (EIP-1186).

    Nodes embedded in their parent are not repeated. The trie without keys has the empty proof. Raises TrieCorruption.
    """
    proof: list[bytes] = []
    if root == EMPTY_ROOT:
        return proof
    nibbles = to_nibbles(key)
    depth = 0
    reference: bytes | None = _HASH_MARK + root
    while reference is not None:
        raw = reference
        if len(reference) == HASH_REF_SIZE:
            raw = _read_verified(reader, nibbles[:depth], reference)
            proof.append(raw)
        reference, depth, _ = _descend(decode_node(raw), nibbles, depth)
    return proof


def verify_proof(root: bytes, key: bytes, proof: Sequence[bytes]) -> bytes | None:
    """Return the value of `key` (32 bytes) under `root`, or None if the proof shows its absence.

    The proof comes from anyone. It must hold exactly the nodes that `prove` gives, in that order; for EMPTY_ROOT
    some servers send the encoding of the empty trie, which passes too. Raises ProofError, whatever the input.
    """
    if len(proof) > MAX_PROOF_NODES:
        raise ProofError(f"proof: expected at most {MAX_PROOF_NODES} nodes, got {len(proof)}")
    if root == EMPTY_ROOT:
        if any(node != BLANK for node in proof[:1]) or len(proof) > 1:
            raise ProofError("proof: expected no nodes under the root of the empty trie")
        return None
    nibbles = to_nibbles(key)
    depth = used = 0
    value: bytes | None = None
    reference: bytes | None = _HASH_MARK + root
    while reference is not None:
        raw = reference
        if len(reference) == HASH_REF_SIZE:
            raw = _take_proof_node(proof, used, reference)
            used += 1
        try:
            reference, depth, value = _descend(decode_node(raw), nibbles, depth)
        except MalformedNode as error:
            raise ProofError(f"proof node {max(used - 1, 0)}: {error}") from error
    if used != len(proof):
        raise ProofError(f"proof: expected {used} nodes, got {len(proof)}")
    return value


def _take_proof_node(proof: Sequence[bytes], index: int, reference: bytes) -> bytes:
    if index >= len(proof):
        raise ProofError(f"proof: node {index} with hash 0x{reference[1:].hex()} is missing")
    raw = proof[index]
    if not isinstance(raw, bytes):
        raise ProofError(f"proof node {index}: expected bytes, got {type(raw).__name__}")
    digest = _keccak_256(raw).digest()
    if digest != reference[1:]:
        raise ProofError(f"proof node {index}: expected hash 0x{reference[1:].hex()}, got 0x{digest.hex()}")
    return raw


def _descend(node: Node, nibbles: bytes, depth: int) -> tuple[bytes | None, int, bytes | None]:
    """Take one step towards a key: return (next reference or None at the end, its depth, value found)."""
    if isinstance(node, list):
        if depth >= len(nibbles):
            raise MalformedNode("a branch below the length of the key")
        reference = node[nibbles[depth]]
        return (None if reference == BLANK else reference), depth + 1, None
    path, payload, is_leaf = node
    if is_leaf:
        return None, depth, payload if nibbles[depth:] == path else None
    if nibbles.startswith(path, depth):
        return payload, depth + len(path), None
    return None, depth, None
