"""`dmchain keys`, and the options by which other commands take a key."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.node.cli.client import json_option, show
from dmchain.node.cli.parameters import DATA, checksum
from dmchain.node.home import PRIVATE_FILE, write_atomically
from dmchain.node.keystore import (
    KeyFileError,
    derive_keys,
    list_keys,
    load_keyfile,
    load_secret_file,
    read_password,
    save_key,
)

DEFAULT_DIRECTORY = Path("keys")


@click.group()
def keys() -> None:
    """Account keys in keystore files (version 3, mode 0600).

    \b
    Example:
      dmchain keys new --password-file pw.txt
    """


_directory_option = click.option(
    "--keys", "directory", type=click.Path(path_type=Path, file_okay=False), default=DEFAULT_DIRECTORY,
    show_default=True, help="Directory of keystore files.",
)  # fmt: skip
_password_option = click.option(
    "--password-file", type=click.Path(path_type=Path, dir_okay=False), help="First line is the password; else asked for."
)
_light_option = click.option("--light", is_flag=True, help="Weak encryption that is quick: for tests only.")


def _new_password(path: Path | None) -> str:
    if path is not None:
        password = read_password(path)
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    if not password:
        raise KeyFileError("the password is empty", hint="--password-file FILE with the password on its first line")
    return str(password)


def _password(path: Path | None) -> str:
    return read_password(path) if path else str(click.prompt("Password", hide_input=True, err=True))


@keys.command()
@_directory_option
@_password_option
@_light_option
@json_option
def new(directory: Path, password_file: Path | None, light: bool, as_json: bool) -> None:
    """Make a key from the system's randomness and print its address."""
    key = PrivateKey(os.urandom(32))
    stored = save_key(key, directory, _new_password(password_file), is_light=light)
    show({"address": checksum(stored.address), "file": str(stored.path)}, as_json)


@keys.command("list")
@_directory_option
@json_option
def list_(directory: Path, as_json: bool) -> None:
    """List addresses and files."""
    found = [{"address": checksum(stored.address), "file": str(stored.path)} for stored in list_keys(directory)]
    if as_json:
        show(found, True)
    else:
        for entry in found:
            click.echo(f"{entry['address']}  {entry['file']}")
        if not found:
            click.echo(f"no keystore files in {directory}", err=True)


@keys.command("import")
@click.option("--private-key-file", type=click.Path(path_type=Path, dir_okay=False), help="64 hex digits.")
@click.option("--mnemonic-file", type=click.Path(path_type=Path, dir_okay=False), help="A BIP-39 phrase.")
@click.option("--index", type=click.IntRange(0, 10_000), default=0, show_default=True, help="Account of the mnemonic.")
@_directory_option
@_password_option
@_light_option
@json_option
def import_(
    private_key_file: Path | None,
    mnemonic_file: Path | None,
    index: int,
    directory: Path,
    password_file: Path | None,
    light: bool,
    as_json: bool,
) -> None:
    """Put a private key or an account of a mnemonic into a keystore file."""
    if (private_key_file is None) == (mnemonic_file is None):
        raise click.UsageError("give either --private-key-file or --mnemonic-file")
    if private_key_file is not None:
        key = load_secret_file(private_key_file)
    else:
        assert mnemonic_file is not None
        key = derive_keys(read_password(mnemonic_file), index + 1)[index]
    stored = save_key(key, directory, _new_password(password_file), is_light=light)
    show({"address": checksum(stored.address), "file": str(stored.path)}, as_json)


@keys.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@click.option("--to", "target", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File of mode 0600.")
@_password_option
def export(path: Path, target: Path, password_file: Path | None) -> None:
    """Write a private key in the clear to a file that only you can read."""
    if target.exists():
        raise KeyFileError(f"{target}: exists already")
    key = load_keyfile(path, _password(password_file))
    write_atomically(target, f"0x{key.secret.hex()}\n".encode(), mode=PRIVATE_FILE)
    click.echo(f"wrote the key of {checksum(key.address)}", err=True)


@keys.command("show")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@_password_option
@json_option
def show_(path: Path, password_file: Path | None, as_json: bool) -> None:
    """Check that a keystore file opens, and print its address and public key."""
    key = load_keyfile(path, _password(password_file))
    show({"address": checksum(key.address), "publicKey": "0x" + key.public_key.hex()}, as_json)


def key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `load_key` reads."""
    command = click.option(
        "--key-file", type=click.Path(path_type=Path, dir_okay=False), help="Keystore file of the sender."
    )(command)
    command = click.option(
        "--private-key-file", type=click.Path(path_type=Path, dir_okay=False), help="Private key in the clear, mode 0600."
    )(command)
    command = click.option("--devnet-account", type=click.IntRange(0, 9), help="One of a devnet's test accounts.")(command)
    return _password_option(command)


def load_key(options: dict[str, Any]) -> PrivateKey:
    """The key that the options of `key_options` name; exactly one source."""
    sources = [name for name in ("key_file", "private_key_file", "devnet_account") if options[name] is not None]
    if len(sources) != 1:
        raise click.UsageError("give one of --key-file, --private-key-file and --devnet-account")
    if options["devnet_account"] is not None:
        from dmchain.node.keystore import devnet_keys

        index: int = options["devnet_account"]
        return devnet_keys(index + 1)[index]
    if options["private_key_file"] is not None:
        return load_secret_file(options["private_key_file"])
    return load_keyfile(options["key_file"], _password(options["password_file"]))


@keys.command()
@click.argument("message")
@click.option("--hex", "is_hex", is_flag=True, help="MESSAGE is 0x and hex digits.")
@key_options
@json_option
def sign(message: str, is_hex: bool, as_json: bool, **options: Any) -> None:
    """Sign a message as wallets do (EIP-191).

    \b
    Example:
      dmchain keys sign "hello" --devnet-account 0
    """
    raw = DATA.convert(message, None, None) if is_hex else message.encode()
    key = load_key(options)
    digest = keccak(b"\x19Ethereum Signed Message:\n" + str(len(raw)).encode() + raw)
    y_parity, r, s = key.sign(digest)
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((27 + y_parity,))
    show({"address": checksum(key.address), "signature": "0x" + signature.hex()}, as_json)


