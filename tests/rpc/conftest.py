"""Fixtures of the RPC tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from dmchain.rpc.backend import Backend
from tests.rpc.asking import Asker
from tests.rpc.fake import FakeChain, make_backend

KIT = Path(__file__).resolve().parents[3] / "shared" / "kits" / "rpc"


@pytest.fixture
def chain() -> FakeChain:
    """A chain with nothing but its genesis block."""
    return FakeChain()


@pytest.fixture
def backend(chain: FakeChain) -> Backend:
    """A devnet's backend on `chain`."""
    return make_backend(chain)


@pytest.fixture
def ask(backend: Backend) -> Asker:
    """Call a method as a client would, without a server: `ask("eth_chainId")`."""
    return Asker(backend)


@pytest.fixture(scope="session")
def kit() -> Path:
    """Recorded conversations of the Ethereum clients."""
    tests = KIT / "prague-forks" / "tests"
    if not tests.is_dir():
        pytest.skip(f"conformance kit not found: {tests} is missing")
    return tests
