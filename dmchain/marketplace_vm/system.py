"""System contracts and calls at the edges of a block: EIP-4788 and 2935 before the first transaction; on imported
Ethereum chains EIP-6110, 7002 and 7251 after the last one; where validators vote, the staking hooks.

dmchain's own networks have the first two in genesis and no requests: nobody deposits to them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from eth.constants import SYSTEM_ADDRESS, SYSTEM_MESSAGE_GAS
from eth.vm.forks.cancun.constants import BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CONTRACT_CODE
from eth.vm.forks.prague.constants import (
    CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    DEPOSIT_CONTRACT_ADDRESS,
    DEPOSIT_EVENT_SIGNATURE_HASH,
    HISTORY_STORAGE_ADDRESS,
    HISTORY_STORAGE_CONTRACT_CODE,
    WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
)

from dmchain.chain.executor import BlockEnvironment
from dmchain.chain.primitives.block import Receipt
from dmchain.chain.primitives.errors import InvalidBlock
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.staking.facts import Notice
from dmchain.chain.staking.hooks import process_block_end, process_block_start
from dmchain.marketplace_vm.vm import CancunTransactionContext, DmComputation, DmState, Message

SYSTEM_CONTRACTS: dict[bytes, bytes] = {
    BEACON_ROOTS_ADDRESS: BEACON_ROOTS_CONTRACT_CODE,
    HISTORY_STORAGE_ADDRESS: HISTORY_STORAGE_CONTRACT_CODE,
}
"""Address -> code; in genesis with nonce 1, as the EIPs' deployment leaves them."""

SYSTEM_CONTRACT_NAMES = {
    "BEACON_ROOTS_ADDRESS": Address(BEACON_ROOTS_ADDRESS),
    "HISTORY_STORAGE_ADDRESS": Address(HISTORY_STORAGE_ADDRESS),
}
"""As EIP-7910 names them."""

_DEPOSIT_DATA_BYTES = 576
_DEPOSIT_LAYOUT = (
    # (word of the offset, expected offset, expected length): pubkey, credentials, amount, signature, index
    (0, 160, 48),
    (1, 256, 32),
    (2, 320, 8),
    (3, 384, 96),
    (4, 512, 8),
)


def system_call(state: DmState, computation_class: type[DmComputation], to: bytes, data: bytes) -> DmComputation | None:
    """Call a system contract as SYSTEM_ADDRESS with 30 million gas of its own; None when there is no code."""
    code = state.flat.get_code(to)
    if not code:
        return None
    state.flat.lock_changes()
    message = Message(gas=SYSTEM_MESSAGE_GAS, to=to, sender=SYSTEM_ADDRESS, value=0, data=data, code=code)
    context = CancunTransactionContext(gas_price=0, origin=SYSTEM_ADDRESS)
    computation = computation_class.apply_message(state, message, context)
    state.flat.delete_empty_touched_accounts()
    return computation


def begin_block(
    state: DmState, computation_class: type[DmComputation], environment: BlockEnvironment
) -> tuple[Notice, ...]:
    """Store the parent's beacon root (here: the consensus record's) and hash. A failing call is ignored (EIP-4788).

    Then staking does what comes before transactions; raises InvalidBlock when its facts do not fit the state.
    """
    system_call(state, computation_class, BEACON_ROOTS_ADDRESS, environment.parent_beacon_block_root)
    system_call(state, computation_class, HISTORY_STORAGE_ADDRESS, environment.parent_hash)
    if environment.consensus is None:
        return ()
    state.flat.lock_changes()
    return process_block_start(state.flat, environment.number, environment.timestamp, environment.consensus)


def end_block(state: DmState, environment: BlockEnvironment) -> tuple[Notice, ...]:
    """What staking does after the last transaction."""
    if environment.consensus is None:
        return ()
    return process_block_end(state.flat, environment.number, environment.timestamp, environment.consensus)


def collect_requests(
    state: DmState, computation_class: type[DmComputation], receipts: Sequence[Receipt]
) -> list[bytes]:
    """EIP-7685 requests of the block: type byte and data, empty ones left out.

    Raises InvalidBlock when a request contract is missing or fails, or a deposit log is malformed.
    """
    requests = [b"\x00" + _collect_deposits(receipts)]
    for kind, address in (
        (b"\x01", WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS),
        (b"\x02", CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS),
    ):
        computation = system_call(state, computation_class, address, b"")
        if computation is None:
            raise InvalidBlock(f"system contract 0x{address.hex()} has no code")
        if computation.is_error:
            raise InvalidBlock(f"system contract 0x{address.hex()} failed")
        requests.append(kind + computation.output)
    return [request for request in requests if len(request) > 1]


def compute_requests_hash(requests: Sequence[bytes]) -> Hash32:
    digest = hashlib.sha256()
    for request in requests:
        digest.update(hashlib.sha256(request).digest())
    return Hash32(digest.digest())


def _collect_deposits(receipts: Sequence[Receipt]) -> bytes:
    deposits = []
    for receipt in receipts:
        for log in receipt.logs:
            if log.address == DEPOSIT_CONTRACT_ADDRESS and log.topics[:1] == (DEPOSIT_EVENT_SIGNATURE_HASH,):
                deposits.append(_read_deposit(log.data))
    return b"".join(deposits)


def _read_deposit(data: bytes) -> bytes:
    if len(data) != _DEPOSIT_DATA_BYTES:
        raise InvalidBlock(f"deposit event: got {len(data)} bytes of data, expected {_DEPOSIT_DATA_BYTES}")
    fields = []
    for word, offset, length in _DEPOSIT_LAYOUT:
        got_offset = int.from_bytes(data[32 * word : 32 * word + 32], "big")
        got_length = int.from_bytes(data[offset : offset + 32], "big")
        if (got_offset, got_length) != (offset, length):
            raise InvalidBlock(
                f"deposit event: field {word} has offset {got_offset} and length {got_length}, "
                f"expected {offset} and {length}"
            )
        fields.append(data[offset + 32 : offset + 32 + length])
    return b"".join(fields)
