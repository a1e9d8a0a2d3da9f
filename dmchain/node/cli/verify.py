"""`dmchain verify`: check what a node says without believing it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dmchain.chain.light import (
    DEFAULT_TRUSTING_PERIOD_MS,
    LightBlock,
    LightError,
    find_double_votes,
)
from dmchain.chain.primitives.errors import DecodeError, DmchainError
from dmchain.chain.primitives.types import UINT64_MAX, Address, Hash32
from dmchain.marketplace_vm.precompiles.license_ledger import LicenseStatus
from dmchain.node.cli.client import Client, json_option, rpc_option, show
from dmchain.node.cli.parameters import ADDRESS, HASH, checksum
from dmchain.node.license_proof import needed_slots, parse_proof, verify_license
from dmchain.node.light_source import LightSource, fixed_field, number_field, object_field
from dmchain.node.light_trust import Trust, Verified, trust_genesis, verify_by_trust

DAY_SECONDS = 86_400
DEFAULT_MAX_AGE_SECONDS = 600
"""Ten heartbeats: a node that shows nothing newer is hiding it, or the network stands still."""


@click.group()
def verify() -> None:
    """Check blocks and licences by validators' signatures and storage proofs, whatever node is asked.

    \b
    Example:
      dmchain verify chain --trust genesis.json --rpc http://127.0.0.1:8545
    """


class TrustType(click.ParamType[Trust]):
    """HEIGHT:VALIDATORS_HASH, or a genesis file."""

    name = "HEIGHT:HASH|FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Trust:
        if isinstance(value, Trust):
            return value
        height, colon, digest = value.partition(":")
        if colon and height.isdecimal() and digest[:2] in ("0x", "0X"):
            number = int(height)
            if not 1 <= number <= UINT64_MAX:
                self.fail(f"height: expected 1 or more, got {height}", param, ctx)
            return Trust(number, Hash32(HASH.convert(digest, param, ctx)))
        return trust_genesis(Path(value))


def _light_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option("--trust", type=TrustType(), required=True, help="What you trust: a genesis file, or a height with "
                     "the hash of the validators that sign it."),
        click.option("--height", type=click.IntRange(1), help="Block to verify; the newest unless given."),
        click.option("--genesis-hash", type=HASH, help="With HEIGHT:HASH: of block 0; asked of the node unless given."),
        click.option("--trusting-days", type=click.FloatRange(0, min_open=True), default=4.5, show_default=True,
                     help="How old the trusted block may be."),
        click.option("--witness", "witnesses", multiple=True, metavar="URL", help="Another node to compare with."),
        rpc_option,
        json_option,
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def _verify(
    client: Client,
    trust: Trust,
    height: int | None,
    genesis_hash: bytes | None,
    trusting_days: float,
    witnesses: tuple[str, ...],
) -> Verified:
    if genesis_hash is not None and trust.genesis_hash not in (None, genesis_hash):
        raise LightError(f"genesis: the file gives 0x{(trust.genesis_hash or b'').hex()}, not 0x{genesis_hash.hex()}")
    chain_id, known_genesis = trust.chain_id, trust.genesis_hash or genesis_hash
    if chain_id is None or known_genesis is None:
        # a node that lies here gets nowhere: what the trusted validators have signed is for one chain
        info = object_field(client.call("dm_nodeInfo"), "dm_nodeInfo")
        known_genesis = known_genesis or fixed_field(info, "genesisHash", 32)
        chain_id = number_field(info, "chainId", UINT64_MAX) if chain_id is None else chain_id
    now_ms = int(time.time() * 1000)
    period_ms = int(trusting_days * DAY_SECONDS * 1000)
    genesis = Hash32(known_genesis)
    verified = verify_by_trust(LightSource(client.call), trust, height, chain_id, genesis, now_ms, period_ms)
    for url in witnesses:
        _compare(verified.block, url, trust, chain_id, genesis, now_ms, period_ms)
    return verified


def _compare(
    block: LightBlock, url: str, trust: Trust, chain_id: int, genesis: Hash32, now_ms: int, period_ms: int
) -> None:
    """Ask another node for the same height. Two blocks that both verify are a fork: a third of the power is faulty."""
    try:
        source = LightSource(Client(url).call)
        other = verify_by_trust(source, trust, block.height, chain_id, genesis, now_ms, period_ms).block
    except DmchainError as error:
        click.echo(f"witness {url} has nothing to say that can be verified: {error}", err=True)
        return
    if other.header.hash != block.header.hash:
        proofs = find_double_votes(block.commit, other.commit) if other.validators == block.validators else []
        raise LightError(
            f"block {block.height}: signed twice: 0x{block.header.hash.hex()} and, at {url}, 0x{other.header.hash.hex()};"
            f" {len(proofs)} validators have signed both",
            hint="the chain has forked: trust neither, and tell others",
        )
    click.echo(f"witness {url} has the same block", err=True)


@verify.command()
@_light_options
def chain(
    trust: Trust,
    height: int | None,
    genesis_hash: bytes | None,
    trusting_days: float,
    witnesses: tuple[str, ...],
    client: Client,
    as_json: bool,
) -> None:
    """Verify a block by the signatures of validators, from validators you trust.

    \b
    Example:
      dmchain verify chain --trust genesis.json
      dmchain verify chain --trust 12000:0x… --height 15000 --witness http://10.0.0.2:8545
    """
    verified = _verify(client, trust, height, genesis_hash, trusting_days, witnesses)
    show({**_describe(verified), "ok": True}, as_json)


def _describe(verified: Verified) -> dict[str, Any]:
    block = verified.block
    return {
        "height": block.height,
        "blockHash": "0x" + block.header.hash.hex(),
        "stateRoot": "0x" + block.header.state_root.hex(),
        "timestampMs": block.record.timestamp_ms,
        "validatorsHash": "0x" + block.validators.hash.hex(),
        "nextValidatorsHash": "0x" + block.next_validators.hash.hex(),
        "signers": len(block.commit.signers()),
        "validators": len(block.validators),
        "blocksVerified": verified.steps,
    }


@verify.command("license")
@click.argument("dataset_id", type=HASH, metavar="DATASET")
@click.argument("account", type=ADDRESS)
@click.option(
    "--max-age", type=click.IntRange(0), default=DEFAULT_MAX_AGE_SECONDS, show_default=True,
    help="Seconds that the newest block may be old.",
)  # fmt: skip
@_light_options
def license_command(
    dataset_id: bytes,
    account: bytes,
    max_age: int,
    trust: Trust,
    height: int | None,
    genesis_hash: bytes | None,
    trusting_days: float,
    witnesses: tuple[str, ...],
    client: Client,
    as_json: bool,
) -> None:
    """Verify that an account holds a valid licence: not expired, not revoked, units left, the data set not retired.

    Exit status 1 when it does not. Everything the node sends is checked against signatures of validators you trust.

    \b
    Example:
      dmchain verify license 0x…dataset 0x…account --trust genesis.json
    """
    verified = _verify(client, trust, height, genesis_hash, trusting_days, witnesses)
    header = verified.block.header
    now = int(time.time())
    if height is None and now - header.timestamp > max_age:
        raise LightError(
            f"the newest block the node shows, {header.number}, is {now - header.timestamp} s old",
            hint="it may be hiding what came after; ask another node, or raise --max-age",
        )
    # a licence that has run out since the block is no licence
    at = max(header.timestamp, now) if height is None else header.timestamp
    proofs = []
    for address, slots in needed_slots(dataset_id, account).items():
        keys = [f"0x{slot:064x}" for slot in slots]
        answer = client.call("eth_getProof", "0x" + address.hex(), keys, hex(header.number))
        try:
            proofs.append(parse_proof(answer, address, slots))
        except DecodeError as error:
            raise LightError(f"eth_getProof: {error}") from error
    found = verify_license(header.state_root, proofs, dataset_id, account, at)
    status = LicenseStatus.NONE if found is None else found.status
    facts: dict[str, Any] = {"valid": status is LicenseStatus.VALID, "status": _name(status)}
    if found is not None:
        facts |= {
            "kind": _name(found.kind),
            "expiresAt": found.expires_at,
            "units": found.units,
            "grantedAt": found.granted_at,
            "termsHash": "0x" + found.terms_hash.hex(),
        }
    shown = "0x" + dataset_id.hex()
    facts |= {"datasetId": shown, "licensee": checksum(Address(account)), "at": at, **_describe(verified)}
    show(facts, as_json)
    if status is not LicenseStatus.VALID:
        raise LightError(f"{checksum(Address(account))} holds no valid licence on {shown}: {_name(status)}")


def _name(value: Any) -> str:
    return str(value.name).lower().replace("_", "-")


assert int(4.5 * DAY_SECONDS * 1000) == DEFAULT_TRUSTING_PERIOD_MS
