"""net_, web3_ and rpc_ methods."""

from __future__ import annotations

from dmchain.chain.primitives.crypto import keccak
from dmchain.rpc.format import format_data
from dmchain.rpc.params import Argument, parse_data
from dmchain.rpc.registry import Context, MethodTable

methods = MethodTable()


@methods.add("net_version")
def get_network_id(context: Context) -> str:
    """The chain id in decimal: there is one network to a chain."""
    return str(context.backend.chain.chain_id())


@methods.add("net_listening")
def is_listening(context: Context) -> bool:
    return bool(context.backend.chain.node_status().listen_addresses)


@methods.add("net_peerCount")
def get_peer_count(context: Context) -> str:
    return hex(context.backend.chain.node_status().peer_count)


@methods.add("web3_clientVersion")
def get_client_version(context: Context) -> str:
    return context.backend.chain.node_status().client_version


@methods.add("web3_sha3", arguments=(Argument("data", parse_data),))
def get_keccak(context: Context, data: bytes) -> str:
    return format_data(keccak(data))


@methods.add("rpc_modules")
def get_modules(context: Context) -> dict[str, str]:
    """Namespaces, as geth's console asks for them."""
    return dict.fromkeys(("dm", "eth", "net", "txpool", "web3"), "1.0")
