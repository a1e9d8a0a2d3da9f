"""The state at heights below the head.

Every block leaves an undo record: the flat keys it changed with their values before it. The state at height h is the
state at head with the undo records of h+1 ... head laid over it, newest first. Records of the last `window` blocks are
kept. An archive also files each old value under its key and height, so that any height is one seek a key.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.store import schema
from dmchain.chain.store.blocks import decode_undo
from dmchain.chain.store.kv import Reader, Write

DEFAULT_WINDOW = 128
MAX_OVERLAYS = 16
_THERE, _NOT_THERE = b"\x01", b"\x00"


class StateUnavailable(DmchainError):
    """The state of that height is not kept."""

    hint = "run the node with --archive to keep the state of every block"


class OverlayReader:
    """`base` with some keys replaced; None hides a key."""

    def __init__(self, base: Reader, overlay: dict[bytes, bytes | None]) -> None:
        self.base = base
        self.overlay = overlay

    def get(self, key: bytes) -> bytes | None:
        if key in self.overlay:
            return self.overlay[key]
        return self.base.get(key)

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        merged = dict(self.base.iterate(start, stop))
        for key, value in self.overlay.items():
            if start <= key < stop:
                if value is None:
                    merged.pop(key, None)
                else:
                    merged[key] = value
        return iter(sorted(merged.items(), reverse=reverse))


class ArchiveReader:
    """The state at `height` by the archive index: the first value recorded after it, else the one at head."""

    def __init__(self, base: Reader, height: int) -> None:
        self.base = base
        self._after = height + 1

    def get(self, key: bytes) -> bytes | None:
        if key[:1] not in (b"a", b"s"):
            return self.base.get(key)
        start = schema.archive_key(key, self._after)
        for _, value in self.base.iterate(start, b"e" + key + b"\xff" * 8):
            return value[1:] if value[:1] == _THERE else None
        return self.base.get(key)

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        keys = {key for key, _ in self.base.iterate(start, stop)}
        keys.update(key[1:-8] for key, _ in self.base.iterate(b"e" + start, b"e" + stop))
        for key in sorted(keys, reverse=reverse):
            value = self.get(key)
            if value is not None:
                yield key, value


def archive_writes(undo: dict[bytes, bytes | None], height: int) -> list[Write]:
    return [
        (schema.archive_key(key, height), _NOT_THERE if value is None else _THERE + value)
        for key, value in undo.items()
    ]


def unarchive_writes(undo: dict[bytes, bytes | None], height: int) -> list[Write]:
    return [(schema.archive_key(key, height), None) for key in undo]


class StateHistory:
    """Readers of past states over one view of the store whose head is `head`."""

    def __init__(self, reader: Reader, head: int) -> None:
        self._reader = reader
        self._head = head
        self._overlays: OrderedDict[int, dict[bytes, bytes | None]] = OrderedDict()

    def oldest(self) -> int:
        """The lowest height whose state can be read."""
        archive = self._reader.get(schema.META_ARCHIVE)
        if archive is not None:
            return int.from_bytes(archive, "big")
        for key, _ in self._reader.iterate(schema.undo_key(0), b"e"):
            return int.from_bytes(key[1:], "big") - 1
        return self._head

    def at(self, height: int) -> Reader:
        """Raises StateUnavailable when the height's state is gone or in the future."""
        if height == self._head:
            return self._reader
        if not 0 <= height <= self._head:
            raise StateUnavailable(f"state of block {height} is not available: the head is {self._head}")
        archive = self._reader.get(schema.META_ARCHIVE)
        if archive is not None and height >= int.from_bytes(archive, "big"):
            return ArchiveReader(self._reader, height)
        return OverlayReader(self._reader, self.differences(height))

    def differences_of(self, state: Reader, height: int) -> dict[bytes, bytes | None]:
        """As `differences`, from the archive where that is what `state` reads."""
        if not isinstance(state, ArchiveReader):
            return self.differences(height)
        changed = {key[1:-8] for key, _ in self._reader.iterate(b"e", b"f") if key[-8:] > schema.be8(height)}
        return {key: state.get(key) for key in sorted(changed)}

    def differences(self, height: int) -> dict[bytes, bytes | None]:
        """Flat keys whose value at `height` is not the one at head, with the value at `height`."""
        overlay = self._overlays.get(height)
        if overlay is None:
            overlay = {}
            for at in range(self._head, height, -1):
                raw = self._reader.get(schema.undo_key(at))
                if raw is None:
                    raise StateUnavailable(
                        f"state of block {height} is not available: the oldest kept is {self.oldest()}"
                    )
                overlay.update(decode_undo(raw))
            self._overlays[height] = overlay
            while len(self._overlays) > MAX_OVERLAYS:
                try:
                    self._overlays.popitem(last=False)
                except KeyError:  # another thread was faster
                    break
        return overlay
