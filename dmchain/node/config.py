"""Settings of a node: config.toml, then environment variables, then flags, to one frozen object.

Every key is one row of `KEYS`: its type, default, check and comment. Errors name the file or variable, the key, what was
got and what was expected; an unknown key is refused with the nearest known name.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmchain.chain.genesis import DEFAULT_GAS_LIMIT
from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.rules import MAX_GAS_LIMIT, MIN_GAS_LIMIT
from dmchain.chain.store.history import DEFAULT_WINDOW

MAX_CONFIG_BYTES = 1024 * 1024
ENVIRONMENT_PREFIX = "DMCHAIN_"


class ConfigError(DmchainError):
    """A setting that cannot be used."""


@dataclass(frozen=True, slots=True)
class Key:
    """One setting. `parse` takes a TOML value or the text of a variable, and raises ValueError saying what it expects."""

    section: str
    name: str
    default: Any
    parse: Callable[[Any], Any]
    comment: str

    @property
    def path(self) -> str:
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        return f"{ENVIRONMENT_PREFIX}{self.section}_{self.name}".upper()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a string")
    return value


def _flag(value: Any) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _integer(low: int, high: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    return parse


def _seconds(low: float, high: float) -> Callable[[Any], float]:
    def parse(value: Any) -> float:
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not low <= number <= high:
            raise ValueError(f"a number of seconds from {low:g} to {high:g}")
        return number

    return parse


def _one_of(*choices: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return str(value)

    return parse


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [entry.strip() for entry in value.split(",") if entry.strip()]
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise ValueError("a list of strings")
    return tuple(value)


def _address(value: Any) -> str:
    text = _text(value)
    if text and (len(text) != 42 or text[:2] != "0x" or not set(text[2:]) <= set("0123456789abcdefABCDEF")):
        raise ValueError("an address: 0x and 40 hex digits")
    return text


def _trust(value: Any) -> str:
    text = _text(value)
    height, colon, digest = text.partition(":")
    is_hash = len(digest) == 66 and digest[:2] == "0x" and set(digest[2:]) <= set("0123456789abcdefABCDEF")
    if text and not (colon and height.isascii() and height.isdecimal() and 0 < len(height) < 19 and is_hash):
        raise ValueError("HEIGHT:0xHASH, the hash of the validators that sign that height")
    return text


def _block_time(value: Any) -> float | None:
    if value in (None, "on-demand"):
        return None
    try:
        return _seconds(0.05, 3600)(value)
    except ValueError as error:
        raise ValueError(f'"on-demand" or {error}') from None


KEYS: tuple[Key, ...] = (
    Key("log", "level", "info", _one_of("debug", "info", "warning", "error"), "debug, info, warning or error"),
    Key("log", "json", False, _flag, "one JSON object a line instead of text"),
    Key("rpc", "host", "127.0.0.1", _text, "address to listen on; put a proxy with TLS in front before you open it"),
    Key("rpc", "port", 8545, _integer(0, 65535), "0 takes a free one"),
    Key("rpc", "vhosts", (), _names, "names allowed in the Host header besides localhost and IP addresses"),
    Key("rpc", "cors_origins", (), _names, "web origins to serve besides localhost"),
    Key("rpc", "gas_cap", 50_000_000, _integer(21_000, 10**12), "gas of one call or estimate"),
    Key("rpc", "call_timeout", 30.0, _seconds(0.1, 600), "seconds of one call, estimate or log query"),
    Key("production", "coinbase", "", _address, "who gets the tips of the blocks this node makes"),
    Key("production", "block_time", None, _block_time, '"on-demand", or seconds between blocks'),
    Key("production", "gather", 0.02, _seconds(0, 10), "seconds to wait for more transactions before a block on demand"),
    Key("production", "heartbeat", 60.0, _seconds(0, 86_400), "seconds after which an idle chain gets a block; 0: never"),
    Key("production", "gas_limit", DEFAULT_GAS_LIMIT, _integer(MIN_GAS_LIMIT, MAX_GAS_LIMIT), "of a block, aimed at"),
    Key("p2p", "listen", "", _text, "host:port for other nodes; empty: dial only"),
    Key("p2p", "advertise", "", _text, "ip:port where others reach this node; empty: tell nobody"),
    Key("p2p", "peers", (), _names, "nodes to stay connected to, [0xID@]host:port, besides the validators of genesis"),
    Key("validator", "key_file", "", _text, "keystore file of the consensus key, below the home; empty: only follow"),
    Key("validator", "password_file", "", _text, "its first line opens the key file"),
    Key("validator", "journal", "keys/sign.journal", _text, "what the key has signed: lives with the key, never reset it"),
    Key("validator", "randao", "keys/randao.json", _text, "the seed of what its blocks reveal; `dmchain stake randao`"),
    Key("sync", "mode", "blocks", _one_of("blocks", "snapshot"), "without a database: all blocks, or a peer's snapshot"),
    Key("sync", "trust", "", _trust, "HEIGHT:0xVALIDATORS_HASH that a snapshot is verified from; empty: genesis"),
    Key("sync", "snapshot_gain", 500, _integer(1, 10**9), "blocks that a snapshot must save to be taken"),
    Key("snapshots", "every", 0, _integer(0, 10**9), "make a snapshot for peers every so many blocks; 0: none"),
    Key("snapshots", "keep", 2, _integer(1, 1000), "of the snapshots made that way"),
    Key("metrics", "listen", "", _text, "host:port of Prometheus metrics, as 127.0.0.1:9464; empty: none"),
    Key("execution", "engine", "native", _one_of("native", "reference"), "reference is py-evm's own loop: slow"),
    Key("execution", "history_window", DEFAULT_WINDOW, _integer(1, 1_000_000), "old heights whose state can be read"),
    Key("execution", "archive", False, _flag, "keep the state of every height"),
    Key("pool", "global_slots", 5_120, _integer(1, 10_000_000), "executable transactions"),
    Key("pool", "max_bytes", 64 * 2**20, _integer(2**17, 2**34), "of all transactions"),
    Key("pool", "lifetime", 10_800.0, _seconds(1, 10**7), "seconds that a transaction may wait"),
    Key("pool", "min_tip", 0, _integer(0, 10**18), "wei per gas below which transactions are refused"),
)
_BY_PATH = {key.path: key for key in KEYS}


@dataclass(frozen=True)
class Config:
    """All settings, checked. Read as `config["rpc.port"]`."""

    values: Mapping[str, Any]

    def __getitem__(self, path: str) -> Any:
        return self.values[path]


def load_config(
    path: Path | None,
    *,
    environment: Mapping[str, str] = os.environ,
    flags: Mapping[str, Any] | None = None,
) -> Config:
    """Defaults, then the file (None: no file), then variables, then flags that are not None."""
    values = {key.path: key.default for key in KEYS}
    if path is not None:
        values.update(_read_file(path))
    for key in KEYS:
        if key.variable in environment:
            values[key.path] = _parse(key, environment[key.variable], key.variable)
    for variable in environment:
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in _KNOWN_VARIABLES:
            raise ConfigError(f"{variable}: unknown variable", hint=_nearest(variable, _KNOWN_VARIABLES))
    for name, value in (flags or {}).items():
        if value is not None:
            values[name] = _parse(_BY_PATH[name], value, f"--{name.partition('.')[2].replace('_', '-')}")
    return Config(values)


_KNOWN_VARIABLES = {key.variable for key in KEYS} | {"DMCHAIN_RPC", "DMCHAIN_HOME"}


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="`dmchain init --home DIR` writes one") from error
    if len(raw) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_CONFIG_BYTES} bytes")
    try:
        document = tomllib.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    values = {}
    for section, entries in document.items():
        if not isinstance(entries, dict):
            known = sorted({key.section for key in KEYS})
            raise ConfigError(f"{path}: {section}: expected a section, one of {', '.join(known)}")
        for name, value in entries.items():
            key = _BY_PATH.get(f"{section}.{name}")
            if key is None:
                raise ConfigError(f"{path}: {section}.{name}: unknown", hint=_nearest(f"{section}.{name}", set(_BY_PATH)))
            values[key.path] = _parse(key, value, f"{path}: {key.path}")
    return values


def _parse(key: Key, value: Any, where: str) -> Any:
    try:
        return key.parse(value)
    except ValueError as error:
        shown = repr(value)
        raise ConfigError(f"{where}: got {shown if len(shown) < 60 else shown[:57] + '...'}, expected {error}") from None


def _nearest(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(sorted(known))}"


def render_config(values: Mapping[str, Any] | None = None) -> str:
    """A config.toml with every key, its default or the value given, and its comment."""
    lines = [
        "# Settings of a dmchain node. Environment variables (DMCHAIN_RPC_PORT) and flags win over this file.",
    ]
    section = ""
    for key in KEYS:
        if key.section != section:
            section = key.section
            lines += ["", f"[{section}]"]
        value = (values or {}).get(key.path, key.default)
        lines.append(f"{key.name} = {_to_toml('on-demand' if value is None else value)}  # {key.comment}")
    return "\n".join(lines) + "\n"


def _to_toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(_to_toml(entry) for entry in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # a JSON string is a TOML one
    return repr(value)
