"""``state``: where it is, and carrying it elsewhere."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from safeupdater.cli.exits import Exit
from safeupdater.cli.options import Group
from safeupdater.cli.places import shown_store
from safeupdater.cli.session import Session
from safeupdater.cli.targets import find_asset
from safeupdater.codec import loads
from safeupdater.errors import ConfigurationError, CorruptState
from safeupdater.stores.transfer import export_state, import_state
from safeupdater.update.inventory import Inventory
from safeupdater.update.listings import KIND as LISTING


@click.group(cls=Group)
def state() -> None:
    """What is remembered: path, export, import, forget."""


@state.command()
@click.pass_obj
def path(session: Session) -> int:
    """Say where state is kept."""
    url = shown_store(session.store_url)
    if session.options.json:
        session.result("State", {"store": url})
    else:
        session.text(url)
    return Exit.DONE


@state.command("export", short_help="Write everything that is remembered to a FILE.")
@click.argument("file", metavar="FILE|-")
@click.pass_obj
def export_(session: Session, file: str) -> int:
    """Write everything that is remembered to FILE (new, for you only) or to stdout.

    It holds what snapshots hold: configurations with their secrets.
    """
    if file == "-" and sys.stdout.isatty():
        raise click.UsageError("an export holds secrets: name a FILE, or send it on through a pipe")
    with session.store(reading=True) as store:
        text = json.dumps(export_state(store))
    if file == "-":
        session.out.file.write(text + "\n")
        return Exit.DONE
    _write_new(Path(file), text)
    session.say(f"exported to {file}; it may hold secrets")
    return Exit.DONE


@state.command("import", short_help="Put exported state into the store.")
@click.argument("file", metavar="FILE|-")
@click.option("--overwrite", is_flag=True, help="Into a store that is not empty; same keys are replaced.")
@click.pass_obj
def import_(session: Session, file: str, overwrite: bool) -> int:
    """Put exported state into the store; all of it is checked before anything is written."""
    data = _read(file)
    with session.store() as store:
        import_state(data, store, overwrite=overwrite)
    session.say(f"imported into {shown_store(session.store_url)}")
    return Exit.DONE


@state.command(short_help="Forget an asset, a host, or what a repository listed.")
@click.argument("what", metavar="ASSET|SCHEME://HOST|REPOSITORY")
@click.pass_obj
def forget(session: Session, what: str) -> int:
    """Forget an asset, or all of a host that is gone, with its history; or what a repository listed.

    A repository is one as in docker.io/library/nginx: its next list of tags is then believed as it is.
    """
    with session.store() as store:
        if store.get(LISTING, what) is not None:
            store.delete(LISTING, what)
            session.result("Forgotten", {"assets": []}, Text(what))
            return Exit.DONE
        inventory = Inventory(store)
        known = [asset.id for asset in inventory.assets(include_removed=True)]
        is_host = any(found.startswith(what.rstrip("/") + "/") for found in known)
        forgotten = inventory.forget(what if is_host else find_asset(inventory, what).id)
    session.result("Forgotten", {"assets": list(forgotten)}, Text("\n".join(forgotten)))
    return Exit.DONE


def _write_new(path: Path, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    except FileExistsError as error:
        raise ConfigurationError(f"{path} is there already: choose a new name") from error
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {os.strerror(error.errno or 0)}") from error


def _read(file: str) -> Any:
    try:
        return loads(sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes())
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {os.strerror(error.errno or 0)}") from error
    except CorruptState as error:
        raise ConfigurationError(f"{file} is not an export of safeupdater's state: it is not JSON") from error
