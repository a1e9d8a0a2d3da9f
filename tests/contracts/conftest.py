"""Every chain that a fixture built is put back after each test: build worlds once, with `scope="module"`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.contracts.chain import CHAINS, Chain
from tools.contracts.compiler import install_modules
from tools.npm import ToolchainUnavailable


@pytest.fixture(scope="session", autouse=True)
def solc() -> None:
    """Skip with one line on a machine without Node.js; fail where it is expected."""
    try:
        install_modules()
        return
    except ToolchainUnavailable as error:
        reason = str(error)
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def _restored_chains() -> Iterator[None]:
    marks = [(chain, chain.snapshot()) for chain in list(CHAINS)]
    yield
    for chain, mark in marks:
        chain.restore(mark)


@pytest.fixture
def chain() -> Chain:
    """A chain of the test's own."""
    return Chain()
