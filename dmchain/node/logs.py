"""Handlers for the `dmchain.*` loggers: lines for people, or JSON with height, round and peer for machines; to stderr."""

from __future__ import annotations

import json
import logging
import sys
import time

LEVELS = ("debug", "info", "warning", "error")
FIELDS = ("height", "round", "peer")
"""What a record may carry in `extra`, shown after the text or as fields of their own."""


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00Z INFO node: block 7 … height=7`"""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(component)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")

    def format(self, record: logging.LogRecord) -> str:
        record.component = record.name.removeprefix("dmchain.")
        text = super().format(record)
        facts = " ".join(f"{name}={getattr(record, name)}" for name in FIELDS if hasattr(record, name))
        return f"{text} {facts}" if facts else text


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "component": record.name.removeprefix("dmchain."),
            "message": record.getMessage(),
        }
        entry.update({name: getattr(record, name) for name in FIELDS if hasattr(record, name)})
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def set_up_logging(level: str, *, as_json: bool = False) -> None:
    """Log `dmchain.*` from `level` on to stderr, and only warnings of the libraries."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("dmchain").setLevel(level.upper())
