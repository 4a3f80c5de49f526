"""The root command: global options, and how everything that goes wrong leaves the process."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any

import click

from safeupdater._version import __version__
from safeupdater.cli import documents
from safeupdater.cli.applying import apply, approve
from safeupdater.cli.asking import history
from safeupdater.cli.demo import demo
from safeupdater.cli.doctor import doctor
from safeupdater.cli.exits import Exit
from safeupdater.cli.options import Group, shared_options, take_options
from safeupdater.cli.policies import policy
from safeupdater.cli.returning import abort, quarantine, recover, resolve, rollback
from safeupdater.cli.running import run_command
from safeupdater.cli.scanning import plan, scan
from safeupdater.cli.session import Session, World, rendered
from safeupdater.cli.states import state
from safeupdater.cli.text import clean, clean_lines, short_hosts
from safeupdater.errors import ErrorClass, SafeUpdaterError, classify


@click.group(
    cls=Group,
    params=shared_options(hidden=False),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.version_option(__version__, prog_name="safeupdater")
@click.pass_obj
def cli(session: Session, /, **given: Any) -> None:
    """Keeps running container software up to date without breaking it.

    Global options may stand before or after the command.

    Exit codes: 0 done, 1 failure, 2 usage, 3 updates available (if asked with
    --exit-code), 4 blocked by policy, 5 rolled back, 6 interrupted.
    """
    session.adjust(take_options(given))
    session.check_variables()


for command in (
    scan, plan, apply, approve, rollback, recover, resolve, abort,
    quarantine, history, policy, state, run_command, doctor, demo,
):  # fmt: skip
    cli.add_command(command)


# From click 8.2 on it is an error to name a group and no command; before, click printed the help itself.
_NO_ARGUMENTS: tuple[type[click.ClickException], ...] = (
    (click.exceptions.NoArgsIsHelpError,) if hasattr(click.exceptions, "NoArgsIsHelpError") else ()
)


def run(arguments: Sequence[str], world: World | None = None) -> int:
    """Runs one command line and gives its exit code."""
    session = Session(world)
    try:
        answer = cli.main(list(arguments), prog_name="safeupdater", standalone_mode=False, obj=session)
        return int(answer or Exit.DONE)
    except click.ClickException as error:
        return _usage(session, error)
    except (click.Abort, KeyboardInterrupt):
        session.complain("interrupted")
        return Exit.INTERRUPTED
    except SafeUpdaterError as error:
        return _failed(session, error)
    except BrokenPipeError:
        return _reader_left()
    except Exception as error:  # noqa: BLE001 - whatever it is, people get a sentence
        return _unforeseen(session, error)


def _usage(session: Session, error: click.ClickException) -> int:
    """A usage error in click's form, without what a terminal would obey."""
    if isinstance(error, _NO_ARGUMENTS):
        session.err.print(error.format_message(), soft_wrap=True)  # our own help, in its lines
        return error.exit_code
    if session.options.json:
        document = {"code": "usage", "message": error.format_message(), "transient": False}
        session.out.file.write(rendered("Error", document))
    context = getattr(error, "ctx", None)
    help_hint = f" (safeupdater {_path(context)} --help)".replace("  ", " ") if context else ""
    session.complain(f"{clean(error.format_message())}{help_hint}")
    return error.exit_code


def _path(context: click.Context) -> str:
    return context.command_path.removeprefix("safeupdater").strip()


def _failed(session: Session, error: SafeUpdaterError) -> int:
    _trace(session, error)
    if session.options.json:
        session.out.file.write(rendered("Error", session.scrubber.value(documents.error(error))))
    later = " (trying again later may help)" if classify(error) is ErrorClass.TRANSIENT else ""
    session.complain(short_hosts(clean_lines(str(error))) + later)
    return Exit.FAILURE


def _unforeseen(session: Session, error: Exception) -> int:
    _trace(session, error)
    # The text of a foreign error may hold anything, a password in a URL among it: its class is enough.
    session.complain(
        f"an error that should not happen ({type(error).__name__}): "
        "run it again with --verbose, and report what it prints"
    )
    return Exit.FAILURE


def _trace(session: Session, error: BaseException) -> None:
    """The way to the error, for --verbose: places in the code only, since messages may hold secrets."""
    if not session.options.verbose:
        return
    for frame in traceback.extract_tb(error.__traceback__):
        session.say(f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}', "dim")


def _reader_left() -> int:
    """Nobody reads stdout any more, as with ``| head``: that is no failure of ours, but not done either."""
    import os
    import sys

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.FAILURE
