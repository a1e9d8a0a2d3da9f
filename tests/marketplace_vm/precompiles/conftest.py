import pytest

from tests.marketplace_vm.precompiles.native_machines import (
    MACHINES,
    EvmMachine,
    FlatMachine,
    Machine,
    PlainMachine,
)


@pytest.fixture(params=MACHINES, ids=lambda machine: machine.__name__)
def machine(request: pytest.FixtureRequest) -> Machine:
    made: Machine = request.param()
    return made


@pytest.fixture(params=[PlainMachine, FlatMachine], ids=lambda machine: machine.__name__)
def evm(request: pytest.FixtureRequest) -> EvmMachine:
    """The machines that run contracts."""
    made: EvmMachine = request.param()
    return made
