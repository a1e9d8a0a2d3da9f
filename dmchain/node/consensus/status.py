"""What consensus and peers are doing now, for people and for monitoring. Reads; changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from dmchain.chain.blockchain import Blockchain
from dmchain.chain.consensus.core import Core
from dmchain.chain.consensus.messages import Step
from dmchain.chain.consensus.validators import ValidatorSet
from dmchain.chain.primitives.types import ZERO_ADDRESS, Address
from dmchain.chain.staking.slots import ReadSlots
from dmchain.chain.staking.validators import load_operator
from dmchain.marketplace_vm.state import read_slot
from dmchain.node.consensus.epochs import Epochs
from dmchain.node.network.identity import NodeId
from dmchain.node.network.peer import Peer
from dmchain.rpc.backend import ConsensusStatus, PeerStatus, SyncStatus, ValidatorStatus

ROUNDS_BEFORE_ALARM: Final = 4
"""A few rounds may fail for a proposer that is away or slow; with the default timeouts this is half a minute."""


class PeerTable(Protocol):
    """The part of the network's PeerManager that is asked."""

    @property
    def peers(self) -> Mapping[NodeId, Peer]: ...


class ConsensusView:
    """The state of one node's consensus and network. To be asked on the event loop."""

    def __init__(
        self,
        chain: Blockchain,
        epochs: Epochs,
        core: Core,
        peers: PeerTable,
        *,
        node_id: NodeId,
        node_of: Callable[[Address], NodeId | None],
        sync_status: Callable[[], SyncStatus | None],
    ) -> None:
        """`node_of`: the node that votes with a consensus address, None when that is not known.
        `sync_status`: of block sync, None while there is nothing to fetch."""
        self.node_id = node_id
        self._chain = chain
        self._epochs = epochs
        self._core = core
        self._peers = peers
        self.sync_status = sync_status
        self._node_of = node_of
        self._operators: dict[Address, Address] = {}
        """By consensus address; a key never changes hands."""

    @property
    def role(self) -> str:
        """validator: signs; observer: in the set, but must not sign now; candidate: has a key that is not in the set;
        follower: has none."""
        core = self._core
        if core.address is None:
            return "follower"
        if self.is_signing:
            return "validator"
        is_member = self._validators().index_of(core.address) is not None
        return "observer" if is_member else "candidate"

    @property
    def is_signing(self) -> bool:
        machine = self._core.machine
        return machine is not None and machine.me is not None

    @property
    def round(self) -> int:
        """-1 while the height has not begun, which is how an idle chain waits."""
        machine = self._core.machine
        return -1 if machine is None else machine.round

    @property
    def step(self) -> Step:
        machine = self._core.machine
        return Step.IDLE if machine is None else machine.step

    @property
    def validator_count(self) -> int:
        return len(self._validators())

    def _validators(self) -> ValidatorSet:
        return self._epochs.at(self._chain.head.number + 1).validators

    def problem(self) -> str | None:
        """What an operator should look at; None when there is nothing."""
        own = self._core.address
        others = [each for each in self._validators().validators if each.address != own]
        if others and not self._peers.peers:
            return "no peers: nothing can be decided or followed"
        if self.round >= ROUNDS_BEFORE_ALARM:
            return f"height {self._core.height} is in round {self.round}: fewer than two thirds of the stake agree"
        return None

    def peers(self) -> tuple[PeerStatus, ...]:
        return tuple(
            [
                PeerStatus(
                    node_id=node_id,
                    is_outbound=peer.is_outbound,
                    software="" if peer.hello is None else peer.hello.software,
                    height=0 if peer.status is None else peer.status.height,
                )
                for node_id, peer in self._peers.peers.items()
            ]
        )

    def consensus(self) -> ConsensusStatus:
        epoch = self._epochs.at(self._chain.head.number + 1)
        machine, round = self._core.machine, self.round
        proposer = None
        if machine is not None and machine.validators.hash == epoch.validators.hash:
            proposer = epoch.validators.validators[machine.proposer(max(round, 0))].address
        return ConsensusStatus(
            height=self._chain.head.number + 1 if machine is None else self._core.height,
            round=round,
            step=self.step.name.lower(),
            epoch=epoch.number,
            proposer=proposer,
            address=self._core.address,
            is_signing=self.is_signing,
            validators=tuple(
                [
                    ValidatorStatus(
                        each.address, self._operator(each.address), each.power, self._connected(each.address)
                    )
                    for each in epoch.validators.validators
                ]
            ),
        )

    def _connected(self, address: Address) -> bool | None:
        if address == self._core.address:
            return True
        node = self._node_of(address)
        return None if node is None else node in self._peers.peers

    def _operator(self, address: Address) -> Address:
        found = self._operators.get(address)
        if found is None:
            state = self._chain.view.snapshot
            slots = ReadSlots(lambda account, slot: read_slot(state, account, slot))
            found = self._operators[address] = load_operator(slots, address) or ZERO_ADDRESS
        return found
