"""Asks the dispatcher as the server does, without threads: heavy work runs at once, waiting ends when told."""

from __future__ import annotations

import json
from typing import Any

import orjson

from dmchain.rpc.api import build_methods
from dmchain.rpc.backend import Backend
from dmchain.rpc.config import MethodLimits
from dmchain.rpc.filters import FilterTable
from dmchain.rpc.jsonrpc import parse_request
from dmchain.rpc.registry import Context, Dispatcher, Job


class Refused(Exception):
    """An error answer."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error)
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: Any = error.get("data")


class Asker:
    """`now` is the clock of filters; `waiting` the jobs whose answer is not there yet."""

    def __init__(self, backend: Backend, limits: MethodLimits | None = None) -> None:
        self.backend = backend
        self.limits = limits or MethodLimits()
        self.now = 1000.0
        self.bugs: list[tuple[str, BaseException]] = []
        self.dispatcher = Dispatcher(build_methods(backend), lambda name, error: self.bugs.append((name, error)))
        self.ids = 0
        self.filters = FilterTable(
            self.limits.max_filters, self.limits.max_filter_terms, self.limits.filter_lifetime_seconds, self._new_id
        )

    def _new_id(self) -> str:
        self.ids += 1
        return f"0x{self.ids:032x}"

    def context(self) -> Context:
        return Context(self.backend, self.limits, self.filters, self.now)

    def __call__(self, method: str, *params: Any) -> Any:
        """The result; raises Refused for an error, and the bug when a handler failed unexpectedly."""
        return self.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})

    def by_name(self, method: str, **params: Any) -> Any:
        return self.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})

    def send(self, message: Any) -> Any:
        answer = orjson.loads(self.raw(json.dumps(message).encode()))
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def raw(self, body: bytes) -> bytes:
        """The answer to a body with one call."""
        step = self.begin(body)
        assert isinstance(step, bytes), "the answer is not there yet"
        return step

    def begin(self, body: bytes) -> bytes | Job:
        """The answer, or the job that waits for a block."""
        step = self.dispatcher.start(parse_request(body).entries[0], self.context())
        while isinstance(step, Job):
            if step.work is not None:
                step = self.dispatcher.run(step)
            else:
                answer = self.dispatcher.poll(step)
                if answer is None:
                    return step
                step = answer
        if self.bugs:
            raise self.bugs[0][1]
        return step
