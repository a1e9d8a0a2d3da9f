"""The command tree. Commands are imported when they are used: py-evm alone takes half a second."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

import dmchain
from dmchain.chain.primitives.errors import DmchainError

COMMANDS = {
    "devnet": ("dmchain.node.cli.run:devnet", "Run a fresh development network with funded accounts."),
    "init": ("dmchain.node.cli.run:init", "Make a home directory: config, genesis, keys."),
    "node": ("dmchain.node.cli.run:node", "Run the node of a home directory."),
    "testnet": ("dmchain.node.cli.testnet:testnet", "Make the home directories of a network of validators."),
    "stake": ("dmchain.node.cli.stake:stake", "Validate, delegate, see rewards."),
    "keys": ("dmchain.node.cli.keys:keys", "Account keys in keystore files."),
    "status": ("dmchain.node.cli.query:status", "Show how a running node is."),
    "tx": ("dmchain.node.cli.tx:tx", "Send transactions."),
    "market": ("dmchain.node.cli.market:market", "Publish, find, buy and use data."),
    "query": ("dmchain.node.cli.query:query", "Read blocks, accounts, data sets and licences."),
    "db": ("dmchain.node.cli.db:db", "Look after the database of a stopped node."),
    "snapshot": ("dmchain.node.cli.snapshot:snapshot", "Save the state of a stopped node, start another from it."),
    "verify": ("dmchain.node.cli.verify:verify", "Check blocks and licences without trust in the node asked."),
    "genesis": ("dmchain.node.cli.genesis:genesis", "Make and check genesis files."),
    "sim": ("dmchain.node.cli.sim:sim", "Simulate consensus under faults, from a seed."),
    "evm": ("dmchain.node.cli.evm:evm", "Run published Ethereum fixtures."),
}
"""Name -> (where it is, one line for --help)."""

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(dmchain.__version__, prog_name="dmchain")
def app() -> None:
    """A blockchain node for the market of AI training data.

    \b
    Example:
      dmchain devnet --port 8545

    Exit status: 0 success, 1 failure, 2 wrong usage, 130 interrupted.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run a command; what was expected to fail prints one line and a hint, never a traceback."""
    try:
        result: Any = app.main(args=arguments, prog_name="dmchain", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except DmchainError as error:
        fail(str(error), error.hint)
    except BrokenPipeError:
        # the reader of our output has gone, as `head` does
        sys.stderr.close()
        sys.exit(EXIT_FAILURE)
    sys.exit(result if isinstance(result, int) else 0)


def fail(message: str, hint: str | None = None) -> None:
    """Say what went wrong on stderr and end with exit status 1."""
    click.echo(f"error: {message}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)
    sys.exit(EXIT_FAILURE)
