"""What log lines look like, for people and for machines."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from dmchain.node.logs import JsonFormatter, TextFormatter, set_up_logging


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    entry = logging.LogRecord("dmchain.rpc.http", logging.WARNING, "", 0, message, arguments, None)
    entry.created = 1_767_225_600.25
    entry.__dict__.update(extra)
    return entry


def test_a_line_for_people_has_time_level_component_and_facts() -> None:
    line = TextFormatter().format(record("slow call: %s", "eth_getLogs", height=7, peer="1.2.3.4"))
    assert line == "2026-01-01T00:00:00Z WARNING rpc.http: slow call: eth_getLogs height=7 peer=1.2.3.4"


def test_a_line_for_machines_is_one_json_object() -> None:
    line = JsonFormatter().format(record('a "quoted"\nline', round=3))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": 1767225600.25,
        "level": "warning",
        "component": "rpc.http",
        "message": 'a "quoted"\nline',
        "round": 3,
    }


def test_an_exception_comes_with_its_traceback() -> None:
    entry = record("it broke")
    try:
        raise ValueError("inside")
    except ValueError:
        entry.exc_info = sys.exc_info()
    assert "ValueError: inside" in json.loads(JsonFormatter().format(entry))["exception"]
    assert "ValueError: inside" in TextFormatter().format(entry)


def test_logs_go_to_stderr_from_the_level_on(capsys: pytest.CaptureFixture[str]) -> None:
    root, tree = logging.getLogger(), logging.getLogger("dmchain")
    before = list(root.handlers), root.level, tree.level
    try:
        set_up_logging("info")
        logging.getLogger("dmchain.node").info("seen")
        logging.getLogger("dmchain.node").debug("not seen")
        logging.getLogger("some.library").info("not seen either")
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        tree.setLevel(before[2])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith(" INFO node: seen\n") and captured.err.count("\n") == 1
