"""BatchTrie raced against py-trie's HexaryTrie, its store checked for garbage, its proofs against hostile input."""

from __future__ import annotations

import random

import pytest
import rlp
from eth.db.trie import make_trie_root_and_nodes
from hypothesis import given, settings
from hypothesis import strategies as st
from trie import HexaryTrie

from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.trie import (
    EMPTY_ROOT,
    BatchTrie,
    NodeCache,
    ProofError,
    TrieCorruption,
    ordered_root,
    prove,
    verify_proof,
)
from dmchain.chain.trie_node import BLANK, MalformedNode, decode_node, encode_node, to_nibbles

# 32-byte keys that differ only in a few nibbles, at the front, in the middle and at the end: every kind of split and
# collapse happens often, and leaves near the end are small enough to be embedded in their parents.
few_nibbles = st.builds(
    lambda a, b, c: bytes((a,)) + bytes(14) + bytes((b,)) + bytes(15) + bytes((c,)),
    st.sampled_from((0x00, 0x01, 0x10, 0x77)),
    st.sampled_from((0x00, 0x01, 0x20)),
    st.sampled_from((0x00, 0x01, 0x0F, 0xF0, 0xFF)),
)
small_values = st.sampled_from(
    (b"", b"", b"\x01", b"\x7f", b"\x80", b"abc", b"x" * 31, b"y" * 40, b"z" * 300)
)
batches = st.lists(st.dictionaries(few_nibbles, small_values, max_size=12), min_size=1, max_size=8)


class DictStore(dict[bytes, bytes]):
    """Nodes by path."""

    def apply(self, changes: dict[bytes, bytes | None]) -> None:
        for path, raw in changes.items():
            if raw is None:
                self.pop(path, None)
            else:
                self[path] = raw


def reachable(store: DictStore, root: bytes) -> DictStore:
    """Walk from the root and collect the nodes a store must hold, checking each hash."""
    found = DictStore()
    if root == EMPTY_ROOT:
        return found
    todo = [(b"", b"\xa0" + root)]
    while todo:
        path, reference = todo.pop()
        raw = reference
        if len(reference) == 33:
            raw = found[path] = store[path]
            assert keccak(raw) == reference[1:]
        node = decode_node(raw)
        if isinstance(node, list):
            todo += [(path + bytes((n,)), node[n]) for n in range(16) if node[n] != BLANK]
        elif not node[2]:
            todo.append((path + node[0], node[1]))
    return found


def race(rounds: list[dict[bytes, bytes]], cache: NodeCache | None, reopen: bool) -> None:
    slow = HexaryTrie({})
    store = DictStore()
    trie = BatchTrie(store, cache=cache)
    for items in rounds:
        for key, value in items.items():
            slow[key] = value
        before = trie.root
        root = trie.update(items)
        assert root == trie.root == slow.root_hash
        if root == before:
            assert not trie.changes or not reopen
        if reopen:
            store.apply(trie.changes)
            assert store == reachable(store, root)
            trie = BatchTrie(store, root, cache)
    store.apply(trie.changes)
    assert store == reachable(store, trie.root)


@settings(max_examples=300, deadline=None)
@given(batches, st.booleans(), st.booleans())
def test_equals_hexary_trie_and_leaves_no_garbage(
    rounds: list[dict[bytes, bytes]], cached: bool, reopen: bool
) -> None:
    race(rounds, NodeCache(3) if cached else None, reopen)


@pytest.mark.parametrize("seed", range(6))
def test_equals_hexary_trie_on_hashed_keys(seed: int) -> None:
    rng = random.Random(seed)
    keys = [keccak(bytes((seed, n & 255, n >> 8))) for n in range((3, 20, 300)[seed % 3])]
    rounds = [
        {
            rng.choice(keys): b"" if rng.random() < 0.4 else rng.randbytes(rng.choice((1, 5, 33, 70, 110)))
            for _ in range(rng.randrange(1, len(keys)))
        }
        for _ in range(15)
    ]
    rounds.append(dict.fromkeys(keys, b""))
    race(rounds, NodeCache(50), reopen=True)


def test_cache_shared_by_a_dropped_block_does_no_harm() -> None:
    cache = NodeCache()
    store = DictStore()
    trie = BatchTrie(store, cache=cache)
    items = {keccak(bytes((n,))): bytes((n, n)) for n in range(200)}
    root = trie.update(items)
    store.apply(trie.changes)
    dropped = BatchTrie(store, root, cache)
    dropped.update(dict.fromkeys(list(items)[:150], b"other"))
    change = {list(items)[7]: b"new"}
    assert BatchTrie(store, root, cache).update(change) == BatchTrie(store, root).update(change)


def test_cache_is_bounded() -> None:
    cache = NodeCache(10)
    BatchTrie(DictStore(), cache=cache).update({keccak(bytes((n,))): b"value" * 9 for n in range(200)})
    assert len(cache) <= 20


def test_changing_nothing_changes_nothing() -> None:
    store = DictStore()
    trie = BatchTrie(store)
    items = {keccak(bytes((n,))): bytes((n + 1,)) for n in range(20)}
    root = trie.update(items)
    store.apply(trie.changes)
    again = BatchTrie(store, root)
    assert again.update({**items, keccak(b"absent"): b""}) == root
    assert again.update({}) == root
    assert again.changes == {}


def test_missing_and_altered_nodes_are_reported() -> None:
    store = DictStore()
    trie = BatchTrie(store)
    items = {keccak(bytes((n,))): b"v" * 40 for n in range(50)}
    root = trie.update(items)
    store.apply(trie.changes)
    key = keccak(bytes((3,)))
    path = max((p for p in store if to_nibbles(key).startswith(p)), key=len)
    for damage, word in (
        ({path: None}, "got nothing"),
        ({path: b"\xc2\x20\x01"}, "got 0x"),
        ({b"": None}, "root"),
    ):
        damaged = DictStore(store)
        damaged.apply(damage)
        with pytest.raises(TrieCorruption, match=word):
            BatchTrie(damaged, root).update({key: b"new"})
        with pytest.raises(TrieCorruption, match=word):
            prove(damaged, root, key)


@pytest.mark.parametrize("count", [0, 1, 2, 17, 127, 128, 129, 256, 300])
def test_ordered_root_equals_py_evm(count: int) -> None:
    class Item:
        def __init__(self, raw: bytes) -> None:
            self.raw = raw

        def encode(self) -> bytes:
            return self.raw

    rng = random.Random(count)
    values = [rng.randbytes(rng.choice((1, 3, 110, 300))) for _ in range(count)]
    assert ordered_root(values) == make_trie_root_and_nodes([Item(v) for v in values])[0]


def built(items: dict[bytes, bytes]) -> tuple[DictStore, bytes, HexaryTrie]:
    store = DictStore()
    trie = BatchTrie(store)
    root = trie.update(items)
    store.apply(trie.changes)
    slow = HexaryTrie({})
    for key, value in items.items():
        slow[key] = value
    return store, root, slow


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(few_nibbles, small_values, max_size=20), few_nibbles)
def test_proofs_of_presence_and_absence_agree_with_py_trie(items: dict[bytes, bytes], other: bytes) -> None:
    store, root, slow = built(items)
    for key in [*items, other, keccak(other)]:
        proof = prove(store, root, key)
        expected = items.get(key) or None
        assert verify_proof(root, key, proof) == expected
        if root != EMPTY_ROOT:
            assert HexaryTrie.get_from_proof(root, key, [rlp.decode(node) for node in proof]) == (
                expected or b""
            )
        # py-trie repeats embedded nodes: EIP-1186 keeps those of 32 bytes or more, and the root
        theirs = [rlp.encode(node) for node in slow.get_proof(key)]
        theirs = [raw for at, raw in enumerate(theirs) if at == 0 or len(raw) >= 32]
        assert theirs == proof
        assert verify_proof(root, key, theirs) == expected


def test_empty_trie_has_the_empty_proof() -> None:
    assert prove(DictStore(), EMPTY_ROOT, bytes(32)) == []
    assert verify_proof(EMPTY_ROOT, bytes(32), []) is None
    assert verify_proof(EMPTY_ROOT, bytes(32), [BLANK]) is None
    for proof in ([b""], [BLANK, BLANK], [b"\xc0"]):
        with pytest.raises(ProofError):
            verify_proof(EMPTY_ROOT, bytes(32), proof)


def test_altered_cut_padded_and_reordered_proofs_are_refused() -> None:
    items = {keccak(bytes((n,))): b"v" * 40 for n in range(100)}
    store, root, _ = built(items)
    key = keccak(b"\x05")
    proof = prove(store, root, key)
    assert len(proof) > 2
    flipped = [*proof[:-1], proof[-1][:-1] + b"w"]
    for bad in ([], proof[:-1], [*proof, proof[-1]], proof[::-1], flipped, [*proof[:-1], None], proof * 40):
        with pytest.raises(ProofError):
            verify_proof(root, key, bad)
    with pytest.raises(ProofError):
        verify_proof(keccak(b"other"), key, proof)


def embedded_noise() -> st.SearchStrategy[object]:
    return st.recursive(st.binary(max_size=40), lambda inner: st.lists(inner, max_size=18), max_leaves=40)


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=80) | embedded_noise().map(rlp.encode))
def test_hostile_nodes_raise_only_proof_error(raw: bytes) -> None:
    """The attacker picks the root too: hashes match, only the structure can be wrong."""
    try:
        node = decode_node(raw)
    except MalformedNode:
        pass
    else:
        assert encode_node(node) == raw  # strict: one node, one encoding
    for key in (bytes(32), keccak(raw)):
        try:
            verify_proof(keccak(raw), key, [raw])
        except ProofError:
            pass


def test_nesting_below_the_length_of_the_key_is_refused() -> None:
    branch = [BLANK] * 17
    proof: list[bytes] = []
    reference = b"\xa0" + bytes(32)
    for _ in range(65):
        node = branch.copy()
        node[0] = reference
        proof.insert(0, encode_node(node))
        reference = b"\xa0" + keccak(proof[0])
    with pytest.raises(ProofError, match="below the length"):
        verify_proof(keccak(proof[0]), bytes(32), proof)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc0",
        BLANK,
        b"\xc2\x20\x80",  # leaf with an empty value
        b"\xc2\x20\xc0",  # leaf with a list
        b"\xc2\x00\xc0",  # extension without a path
        b"\xc2\x40\x01",  # unknown flag
        b"\xc2\x21\x01",  # padding not zero
        b"\xc3\x20\x81\x01",  # a small byte with a header
        b"\xc2\x20\x01\x00",  # bytes after the end
        b"\xd1" + BLANK * 16 + b"\x01",  # a value in a branch
        b"\xd0" + BLANK * 16,
        b"\xd2" + BLANK * 18,
        b"\xc2\x11\x05",  # extension to a value
        b"\xf8\x03\x20\x01\x01",  # long form of a short length
        b"\xf9\xff",
    ],
)
def test_malformed_nodes_are_refused(raw: bytes) -> None:
    with pytest.raises(MalformedNode):
        decode_node(raw)
