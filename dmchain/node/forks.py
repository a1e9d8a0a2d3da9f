"""The rules in force, as eth_config (EIP-7910) shows them."""

from __future__ import annotations

import zlib

from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.rules import Rules
from dmchain.marketplace_vm.precompiles import CID_REGISTRY, LICENSE_LEDGER
from dmchain.marketplace_vm.system import SYSTEM_CONTRACT_NAMES
from dmchain.rpc.backend import ForkConfig, ForkConfigs

_PRECOMPILES = (
    "ECREC", "SHA256", "RIPEMD160", "ID", "MODEXP", "BN254_ADD", "BN254_MUL", "BN254_PAIRING", "BLAKE2F",
    "KZG_POINT_EVALUATION", "BLS12_G1ADD", "BLS12_G1MSM", "BLS12_G2ADD", "BLS12_G2MSM", "BLS12_PAIRING_CHECK",
    "BLS12_MAP_FP_TO_G1", "BLS12_MAP_FP2_TO_G2",
)  # fmt: skip
"""From address 1 on; names as in EIP-7910."""
_P256_VERIFY = 0x100


def _address(number: int) -> Address:
    return Address(number.to_bytes(20, "big"))


def _fork_id(genesis_hash: Hash32, times: tuple[int, ...]) -> bytes:
    """EIP-2124: CRC-32 of the genesis hash and the activations so far."""
    checksum = zlib.crc32(genesis_hash)
    for time in times:
        checksum = zlib.crc32(time.to_bytes(8, "big"), checksum)
    return checksum.to_bytes(4, "big")


def _fork(rules: Rules, genesis_hash: Hash32, activation: int, *, is_osaka: bool) -> ForkConfig:
    precompiles = {name: _address(at) for at, name in enumerate(_PRECOMPILES, 1)}
    if is_osaka:
        precompiles["P256VERIFY"] = _address(_P256_VERIFY)
    precompiles["CID_REGISTRY"] = CID_REGISTRY
    precompiles["LICENSE_LEDGER"] = LICENSE_LEDGER
    return ForkConfig(
        activation_time=activation,
        blob_target=0,
        blob_max=0,
        blob_base_fee_update_fraction=1,
        fork_id=_fork_id(genesis_hash, (activation,) if is_osaka and activation else ()),
        precompiles=dict(sorted(precompiles.items())),
        system_contracts=SYSTEM_CONTRACT_NAMES,
    )


def describe_forks(rules: Rules, genesis_hash: Hash32, now: int) -> ForkConfigs:
    """The rules at second `now`, and those that come. Blobs are off: type 3 is refused."""
    if rules.osaka_time is None:
        return ForkConfigs(current=_fork(rules, genesis_hash, 0, is_osaka=False))
    osaka = _fork(rules, genesis_hash, rules.osaka_time, is_osaka=True)
    if rules.is_osaka(now):
        return ForkConfigs(current=osaka)
    return ForkConfigs(current=_fork(rules, genesis_hash, 0, is_osaka=False), next=osaka, last=osaka)
