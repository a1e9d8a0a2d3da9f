"""From what is trusted to a verified block, with the help of one node that is not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dmchain.chain.consensus.signatures import SignatureChecker
from dmchain.chain.consensus.signbytes import compute_domain
from dmchain.chain.genesis import load_genesis
from dmchain.chain.light import LightBlock, LightClient, LightError, verify_anchor
from dmchain.chain.primitives.types import Hash32
from dmchain.node.light_source import LightSource


@dataclass(frozen=True, slots=True)
class Trust:
    """Validators by the hash of their set at a height. `chain_id` and `genesis_hash` None: not known."""

    height: int
    validators_hash: Hash32
    chain_id: int | None = None
    genesis_hash: Hash32 | None = None


def trust_genesis(path: Path) -> Trust:
    """The validators that a genesis file names sign height 1. Raises InvalidGenesis and LightError."""
    # the EVM package takes half a second to import
    from dmchain.marketplace_vm.executor import create_state

    genesis = load_genesis(path)
    if genesis.staking is None:
        raise LightError(
            f"{path}: names no validators", hint="a chain that one node makes alone proves nothing by itself"
        )
    header = genesis.header(create_state(genesis.alloc).state_root)
    return Trust(1, genesis.staking.validator_set().hash, genesis.rules.chain_id, header.hash)


@dataclass(frozen=True, slots=True)
class Verified:
    """`block` is believed; `steps` blocks were verified on the way."""

    block: LightBlock
    steps: int


def verify_by_trust(
    source: LightSource,
    trust: Trust,
    height: int | None,
    chain_id: int,
    genesis_hash: Hash32,
    now_ms: int,
    period_ms: int,
) -> Verified:
    """Go from what is trusted to `height`, None the newest. Raises LightError and what the source raises."""
    checker = SignatureChecker(compute_domain(chain_id, genesis_hash))
    anchor = source.block(trust.height)
    if anchor.height != trust.height:
        raise LightError(f"asked for block {trust.height}, got block {anchor.height}")
    verify_anchor(anchor, trust.validators_hash, chain_id, now_ms, period_ms, checker.is_signed)
    newest = source.block(None) if height is None else None
    target = height if newest is None else newest.height
    assert target is not None
    client = LightClient(anchor, target, chain_id, period_ms, checker.is_signed)
    while (wanted := client.wanted) is not None:
        block = newest if newest is not None and wanted == target else source.block(wanted)
        client.supply(block, now_ms)
    return Verified(client.trusted, client.verified)
