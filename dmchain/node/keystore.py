"""Account keys: keystore files (Web3 Secret Storage, version 3), mnemonics, and the devnet's well-known accounts.

eth-account does the cryptography; it takes 0.8 s to import, so it is imported where it is used.
"""

from __future__ import annotations

import json
import os
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.errors import DmchainError, SignatureError
from dmchain.chain.primitives.types import Address
from dmchain.node.home import PRIVATE_DIRECTORY, PRIVATE_FILE, write_atomically

DEVNET_MNEMONIC = "test test test test test test test test test test test junk"
DERIVATION_PATH = "m/44'/60'/0'/0/{index}"
"""BIP-44 for Ethereum, as every wallet has it."""
_DEVNET_SECRETS = (
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
    "dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
    "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
)
"""Derived from DEVNET_MNEMONIC (a test checks it): deriving takes most of a second."""
SCRYPT_WORK = 1 << 18
"""geth's standard: 0.7 s and 256 MiB for each guess."""
SCRYPT_WORK_LIGHT = 1 << 12
"""geth's light one: 14 ms and 4 MiB."""
MAX_KEYSTORE_BYTES = 64 * 1024
MAX_SCRYPT_MEMORY = 1 << 30
MAX_PBKDF2_ROUNDS = 10_000_000


class KeyFileError(DmchainError):
    """A key file or password that is no good. Its text never holds a secret."""




def devnet_keys(count: int) -> list[PrivateKey]:
    """The first `count` accounts of DEVNET_MNEMONIC."""
    return derive_keys(DEVNET_MNEMONIC, count)


def derive_keys(mnemonic: str, count: int) -> list[PrivateKey]:
    """Accounts 0 to `count` - 1 of a BIP-39 mnemonic; raises KeyFileError when it is none."""
    words = " ".join(mnemonic.split())
    if words == DEVNET_MNEMONIC and count <= len(_DEVNET_SECRETS):
        return [PrivateKey(bytes.fromhex(secret)) for secret in _DEVNET_SECRETS[:count]]
    from eth_account.hdaccount import key_from_seed, seed_from_mnemonic

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            seed = seed_from_mnemonic(words, "")
    except Exception as error:  # eth-account raises its ValidationError, which is a plain Exception
        raise KeyFileError(
            f"mnemonic: not a BIP-39 phrase ({len(words.split())} words)",
            hint="12 to 24 words of the standard list; the last one is a checksum",
        ) from error
    return [PrivateKey(bytes(key_from_seed(seed, DERIVATION_PATH.format(index=at)))) for at in range(count)]


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A keystore file: its address can be read without the password."""

    address: Address
    path: Path


def save_key(key: PrivateKey, directory: Path, password: str, *, is_light: bool = False) -> StoredKey:
    """Encrypt a key into `directory` (made if needed, mode 0700) as a file of mode 0600; never overwrites.

    `is_light` makes guessing the password 64 times as cheap, for tests.
    """
    from eth_keyfile.keyfile import create_keyfile_json

    directory.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    path = directory / f"{key.address.hex()}.json"
    if path.exists():
        raise KeyFileError(f"{path}: exists already", hint="move it away first; it is not overwritten")
    work = SCRYPT_WORK_LIGHT if is_light else SCRYPT_WORK
    document = create_keyfile_json(key.secret, password.encode(), kdf="scrypt", iterations=work)
    write_atomically(path, json.dumps(document, indent=2).encode() + b"\n", mode=PRIVATE_FILE)
    return StoredKey(key.address, path)


def list_keys(directory: Path) -> list[StoredKey]:
    """The keystore files of a directory by file name, geth's (without suffix) too; what is none is passed over."""
    found = []
    for path in sorted(filter(Path.is_file, directory.iterdir())) if directory.is_dir() else []:
        try:
            found.append(StoredKey(_read_address(_read_document(path), path), path))
        except KeyFileError:
            continue
    return found


def load_keyfile(path: Path, password: str) -> PrivateKey:
    """Decrypt a keystore file; raises KeyFileError for a damaged file, a wrong password, or one that others can read."""
    from eth_keyfile.keyfile import decode_keyfile_json

    document = _read_document(path)
    _check_private(path)
    _check_work(document, path)
    try:
        secret = decode_keyfile_json(document, password.encode())
        key = PrivateKey(bytes(secret))
    except (ValueError, TypeError, KeyError, SignatureError) as error:
        if "MAC mismatch" in str(error):
            raise KeyFileError(f"{path}: the password does not fit") from None
        raise KeyFileError(f"{path}: not a keystore file of version 3") from None
    if "address" in document and key.address != _read_address(document, path):  # some wallets leave it out
        raise KeyFileError(f"{path}: holds the key of 0x{key.address.hex()}, says another address")
    return key


def load_secret_file(path: Path) -> PrivateKey:
    """Read a private key as 64 hex digits, with or without 0x."""
    text = _read_text(path).strip()
    _check_private(path)
    try:
        return PrivateKey(bytes.fromhex(text.removeprefix("0x")))
    except (ValueError, SignatureError):
        raise KeyFileError(f"{path}: expected a private key as 64 hex digits") from None


def read_private_text(path: Path) -> str:
    """A small text file that nobody else can read; raises KeyFileError."""
    text = _read_text(path)
    _check_private(path)
    return text


def read_password(path: Path) -> str:
    """The first line of a password file, without its end."""
    return _read_text(path).split("\n", 1)[0].rstrip("\r")


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_KEYSTORE_BYTES + 1)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    if len(raw) > MAX_KEYSTORE_BYTES:
        raise KeyFileError(f"{path}: larger than {MAX_KEYSTORE_BYTES} bytes, expected a small text file")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise KeyFileError(f"{path}: not UTF-8 text") from error


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise KeyFileError(f"{path}: not JSON") from error
    if not isinstance(document, dict) or document.get("version") != 3:
        raise KeyFileError(f"{path}: not a keystore file of version 3")
    return document


def _read_address(document: dict[str, Any], path: Path) -> Address:
    text = document.get("address")
    try:
        address = Address(bytes.fromhex(str(text).removeprefix("0x")))
    except ValueError:
        address = Address(b"")
    if len(address) != 20:
        raise KeyFileError(f"{path}: address: expected 40 hex digits, got {str(text)[:50]!r}")
    return address


def _check_private(path: Path) -> None:
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & 0o077:
        raise KeyFileError(f"{path}: mode {mode:04o} lets others read the key", hint=f"chmod 600 {path}")


def _check_work(document: dict[str, Any], path: Path) -> None:
    """A crafted file must not take all memory or hours."""
    crypto = document.get("crypto") or document.get("Crypto")
    parameters = crypto.get("kdfparams") if isinstance(crypto, dict) else None
    if not isinstance(parameters, dict):
        raise KeyFileError(f"{path}: crypto.kdfparams: missing")
    numbers = {name: parameters.get(name, 1) for name in ("n", "r", "p", "c")}
    if not all(type(number) is int and number > 0 for number in numbers.values()):
        raise KeyFileError(f"{path}: crypto.kdfparams: expected positive integers")
    if numbers["n"] * numbers["r"] * 128 * numbers["p"] > MAX_SCRYPT_MEMORY or numbers["c"] > MAX_PBKDF2_ROUNDS:
        raise KeyFileError(f"{path}: crypto.kdfparams ask for more work than any wallet does")
