"""What must hold in a network of full nodes, looked at after every block and every message of a correct node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from dmchain.chain.blockchain import ExecutedBlock
from dmchain.chain.consensus.commit import verify_commit
from dmchain.chain.consensus.encoding import decode_message
from dmchain.chain.consensus.messages import Polka, ProposalMessage, Vote, VoteBundle
from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.consensus.signbytes import compute_domain
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.staking.invariants import check_conservation
from dmchain.chain.staking.readers import read_totals
from dmchain.chain.store import schema
from dmchain.chain.store.kv import Reader
from dmchain.marketplace_vm.state import read_account, read_slot
from dmchain.node.consensus.application import peek_hash

if TYPE_CHECKING:
    from tests.simulation.full_node import FullNode, World


class Checker:
    """Raises AssertionError where an invariant is broken. `byzantine`: consensus addresses that may do as they like."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.byzantine: set[bytes] = set()
        self.decided: dict[int, tuple[bytes, bytes, bytes]] = {}
        """(block hash, state root, hash of all receipts) by height."""
        self.mined: dict[bytes, int] = {}
        """Height by transaction."""
        self.evidence: dict[bytes, int] = {}
        """Height of the block with evidence, by offender."""
        self.rounds: dict[int, int] = {}
        """In which a height was decided."""
        self.messages = 0
        self._said: dict[tuple[int, int, int, bytes], Any] = {}
        self._heights: dict[tuple[int, int], int] = {}
        self._supply: int | None = None
        self._base_fees = 0

    # -- messages ------------------------------------------------------------------------------------------------
    def watch(self, node: FullNode) -> None:
        """Look at everything that a node sends from now on, until it crashes."""
        peering = node.validator.peering
        send_to, broadcast = peering.send_to, peering.broadcast

        def watched_send(peers: list[int], payload: bytes, *, has_body: bool) -> None:
            self._check_message(node, payload)
            send_to(peers, payload, has_body=has_body)

        def watched_broadcast(payload: bytes, *, has_body: bool) -> None:
            self._check_message(node, payload)
            broadcast(payload, has_body=has_body)

        peering.send_to, peering.broadcast = watched_send, watched_broadcast  # type: ignore[method-assign]

    def _check_message(self, node: FullNode, payload: bytes) -> None:
        if not node.is_alive:
            return
        self.messages += 1
        self.world.trace.update(f"{node.number} {trio.current_time():.6f} ".encode() + payload)
        message = decode_message(payload, peek_hash)
        statements: tuple[Any, ...] = ()
        if isinstance(message, Vote):
            statements = (message,)
        elif isinstance(message, ProposalMessage):
            statements = (message.proposal, *(message.polka.votes if message.polka else ()))
        elif isinstance(message, VoteBundle | Polka):
            statements = message.votes
        for said in statements:
            self._check_statement(node, said)

    def _check_statement(self, node: FullNode, said: Any) -> None:
        epoch = node.validator.app.epochs.find(said.height)
        if epoch is None or not 0 <= said.validator < len(epoch.validators):
            return
        validator = epoch.validators.validators[said.validator].address
        if validator in self.byzantine:
            return
        content = said.signed(b"")
        before = self._said.setdefault((said.height, said.round, said.kind, validator), content)
        assert before == content, f"seed {self.world.seed}: 0x{validator.hex()} has said {before} and {content}"

    # -- blocks --------------------------------------------------------------------------------------------------
    def check_block(self, node: FullNode, executed: ExecutedBlock) -> None:
        block, height = executed.block, executed.block.number
        name = f"seed {self.world.seed}, node {node.number}, height {height}"
        life = (node.number, node.life)
        assert self._heights.setdefault(life, height) == height, f"{name}: expected height {self._heights[life]}"
        self._heights[life] = height + 1
        receipts = keccak(b"".join([receipt.encode() for receipt in executed.receipts]))
        result = (block.hash, executed.outcome.changes.state_root, receipts)
        is_first = height not in self.decided
        assert self.decided.setdefault(height, result) == result, f"{name}: disagreement"
        self._check_commit(node, height)
        if is_first:
            self.world.note("decided", height, block.hash.hex())
            assert height == 1 or height - 1 in self.decided, f"{name}: nobody has decided the height before"
            for tx in block.transactions:
                assert tx.hash not in self.mined, f"{name}: 0x{tx.hash.hex()} is mined for the second time"
                self.mined[tx.hash] = height
            self._base_fees += (block.header.base_fee_per_gas or 0) * block.header.gas_used
            self._check_supply(node.chain.view.snapshot, name)

    def _check_commit(self, node: FullNode, height: int) -> None:
        app = node.validator.app
        stored = app.stored(height)
        assert stored is not None and stored.seen_commit is not None
        checker = SignatureChecker(compute_domain(self.world.genesis.rules.chain_id, node.chain.genesis_header.hash))
        verify_commit(stored.seen_commit, app.epochs.at(height).validators, checker.is_signed)
        self.rounds[height] = stored.seen_commit.round
        for item in stored.facts.evidence:
            epoch = app.epochs.find(item.height)
            assert epoch is not None
            self.evidence.setdefault(epoch.validators.validators[item.validator].address, height)

    def _check_supply(self, state: Reader, name: str) -> None:
        """Coin is burned as base fees and slashes, minted as rewards, and else only changes hands."""

        def storage(address: bytes, slot: int) -> int:
            return read_slot(state, address, slot)

        def balance(address: bytes) -> int:
            account = read_account(state, address)
            return account[1] if account else 0

        check_conservation(storage, balance)
        totals = read_totals(storage)
        prefix = schema.account_key(b"")
        balances = sum([balance(key[len(prefix) :]) for key, _ in state.iterate(prefix, prefix + b"\xff" * 21)])
        if self._supply is None:
            genesis = self.world.genesis
            self._supply = sum([account.balance for account in genesis.alloc.values()])
        expected = self._supply + totals.minted - totals.burned - self._base_fees
        assert balances == expected, f"{name}: supply: got {balances}, expected {expected}"

    def last_height(self) -> int:
        """The highest that holds a transaction."""
        return max(self.mined.values(), default=0)

    # -- the end -------------------------------------------------------------------------------------------------
    def check_end(self) -> None:
        """Nobody may have been accused, or have died, who did nothing wrong."""
        assert set(self.evidence) <= self.byzantine, f"seed {self.world.seed}: accused {self.evidence}"
        if not self.world.expects_failures:
            assert not [node.failure for node in self.world.nodes if node.failure is not None]
        for node in self.world.running:
            for height in range(1, node.height + 1):
                header = node.chain.view.blocks.header(height)
                assert header is not None and header.hash == self.decided[height][0]
