"""The root command: global options, and how everything that goes wrong leaves the process."""

from __future__ import annotations

from collections.abc import Sequence

import click

from safeupdater._version import __version__
from safeupdater.cli.demo import demo
from safeupdater.cli.exits import Exit
from safeupdater.errors import SafeUpdaterError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="safeupdater")
def cli() -> None:
    """Keeps running container software up to date without breaking it."""


cli.add_command(demo)


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and gives its exit code."""
    try:
        return int(cli.main(list(arguments), prog_name="safeupdater", standalone_mode=False) or Exit.DONE)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("safeupdater: interrupted", err=True)
        return Exit.INTERRUPTED
    except SafeUpdaterError as error:
        click.echo(f"safeupdater: {error}", err=True)
        return Exit.FAILURE
