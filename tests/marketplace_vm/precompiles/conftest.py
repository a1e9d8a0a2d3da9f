import pytest
from native_machines import EvmMachine, Machine, MemoryMachine


@pytest.fixture(params=[MemoryMachine, EvmMachine], ids=["memory", "py-evm"])
def machine(request: pytest.FixtureRequest) -> Machine:
    made: Machine = request.param()
    return made


@pytest.fixture
def evm() -> EvmMachine:
    return EvmMachine()
