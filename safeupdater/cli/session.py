"""One run of the command line: its options, its two outputs, and the updater behind them."""

from __future__ import annotations

import contextlib
import functools
import getpass
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import click
from rich.console import Console, RenderableType
from rich.text import Text

from safeupdater._version import API_VERSION
from safeupdater.cli.options import Options
from safeupdater.cli.places import open_backends, prepare_default_store
from safeupdater.cli.text import clean_lines
from safeupdater.config.named import BUILT_IN_REGISTRY, named_facts, named_registry
from safeupdater.config.policy import Policy
from safeupdater.config.variables import refuse_unknown
from safeupdater.config.wiring import store_at
from safeupdater.observers.scrubbing import Scrubber, secrets_in
from safeupdater.protocols import Backend, Clock, FactSource, Observer, StateStore, TagSource
from safeupdater.registries.oci.credentials import stored_secrets
from safeupdater.stores.clock import SystemClock
from safeupdater.update.updater import Updater

_BOUNDLESS = 100_000  # columns


@attrs.frozen(kw_only=True)
class World:
    """What a session finds outside; tests and embedders put their own in place."""

    environ: Mapping[str, str] = attrs.field(factory=lambda: dict(os.environ), repr=False)
    clock: Clock = attrs.field(factory=SystemClock)
    backends: Sequence[Backend] | None = None
    tags: TagSource | None = None
    confirm: Callable[[str], bool] | None = None
    """Answers instead of somebody at a terminal."""


class Session:
    """Results go to ``out`` (stdout), everything else to ``err`` (stderr)."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        self.options = Options()
        self._warned = False

    def adjust(self, given: Mapping[str, Any]) -> None:
        """Takes in options; they win over those taken in before."""
        self.options = attrs.evolve(self.options, **given)
        self.__dict__.pop("out", None)
        self.__dict__.pop("err", None)

    # --- telling --------------------------------------------------------------------------------------------

    @functools.cached_property
    def out(self) -> Console:
        """Where results go."""
        return self._console(stderr=False)

    @functools.cached_property
    def err(self) -> Console:
        """Where everything else goes."""
        return self._console(stderr=True)

    def _console(self, *, stderr: bool) -> Console:
        console = Console(
            stderr=stderr, highlight=False, markup=False, emoji=False, no_color=self.options.no_color or None
        )
        if not console.is_terminal and not self.world.environ.get("COLUMNS"):
            console.width = _BOUNDLESS  # for grep and files: one line stays one line
        return console

    def result(self, kind: str, document: Mapping[str, Any], *tables: RenderableType) -> None:
        """Gives the result: as a JSON document of a kind, or as tables."""
        if self.options.json:
            self.out.file.write(rendered(kind, document))
            self.out.file.flush()
            return
        for table in tables:
            # Text has its lines already, and a path that is broken in two is of no use to a script.
            self.out.print(table, soft_wrap=isinstance(table, Text))

    def text(self, text: str) -> None:
        """Gives plain text as the result, as it is but for control characters."""
        self.out.print(Text(clean_lines(text)), soft_wrap=True)

    def say(self, text: str, style: str = "") -> None:
        """A word to who watches, unless they want it quiet."""
        if not self.options.quiet:
            self.err.print(Text(self._fit(text), style=style), soft_wrap=not self.err.is_terminal)

    @functools.cached_property
    def scrubber(self) -> Scrubber:
        """Keeps the secrets of our environment and docker's stored logins out of what is said."""
        return Scrubber((*secrets_in(self.world.environ), *stored_secrets(self.world.environ)))

    def _fit(self, text: str) -> str:
        """Text as it may be shown: without secrets, and without what a terminal would obey."""
        return clean_lines(self.scrubber.text(text))

    @contextlib.contextmanager
    def busy(self, doing: str) -> Iterator[None]:
        """Says what is waited for while the body runs, on a terminal; it leaves no trace."""
        if self.options.quiet or not self.err.is_terminal:
            yield
            return
        with self.err.status(Text(f"{doing} …", style="dim")):
            yield

    def warn(self, text: str) -> None:
        """A warning; it is printed even when it should be quiet."""
        label = ("warning: ", "yellow")
        self.err.print(Text.assemble(label, self._fit(text)), soft_wrap=not self.err.is_terminal)

    def complain(self, text: str) -> None:
        """Why it did not work; always printed."""
        label = ("safeupdater: ", "bold red")
        self.err.print(Text.assemble(label, self._fit(text)), soft_wrap=not self.err.is_terminal)

    def check_variables(self) -> None:
        """Refuses environment variables that look like ours and are not.

        Raises:
            ConfigurationError: there is one.
        """
        refuse_unknown(self.world.environ)

    def confirm(self, question: str) -> bool:
        """Asks who watches.

        Raises:
            click.UsageError: there is nobody to ask.
        """
        self.require_somebody()
        ask = self.world.confirm or functools.partial(click.confirm, err=True)
        return ask(question)

    def require_somebody(self) -> None:
        """Makes sure that there is somebody to ask.

        Raises:
            click.UsageError: there is nobody.
        """
        if self.world.confirm is None and not (sys.stdin.isatty() and self.err.is_terminal):
            raise click.UsageError("there is no terminal to ask on: pass --yes to apply without being asked")

    # --- what it works with ---------------------------------------------------------------------------------

    @functools.cached_property
    def caller(self) -> str:
        """Who runs this, for records: the login name, behind sudo too."""
        try:
            return self.world.environ.get("SUDO_USER") or getpass.getuser()
        except (KeyError, OSError):
            return f"uid {os.getuid()}"

    @property
    def store_url(self) -> str:
        """Where state is kept."""
        return self.options.store or prepare_default_store(self.world.environ)

    def policy(self) -> Policy:
        """The policy that holds."""
        return Policy.find(self.options.policy, self.world.environ)

    @functools.cached_property
    def tags(self) -> TagSource:
        """Where newer versions are looked for; one client, so that what it learnt serves every round."""
        if self.world.tags is not None:
            return self.world.tags
        name = self.options.registry or BUILT_IN_REGISTRY
        return named_registry(name, self.world.environ, self.options.registries)

    @functools.cached_property
    def facts(self) -> tuple[FactSource, ...]:
        """Who knows more about candidates; the same ones in every round."""
        return named_facts(self.options.facts, self.world.environ)

    @contextlib.contextmanager
    def store(self, *, reading: bool = False) -> Iterator[StateStore]:
        """The store alone; one for ``reading`` needs no turn where there is one writer at a time."""
        url = self.store_url
        options = {"read_only": True} if reading and url.startswith("json:") else {}
        store = store_at(url, self.world.clock, self.world.environ, **options)
        try:
            yield store
        finally:
            store.close()

    @contextlib.contextmanager
    def updater(self, *, observers: Sequence[Observer] = ()) -> Iterator[Updater]:
        """An updater on every runtime that is asked for and can be reached."""
        policy = self.policy()
        backends = self._backends()
        with self._made(policy, backends, observers) as updater:
            yield updater

    @contextlib.contextmanager
    def records(self, *, reading: bool = False) -> Iterator[Updater]:
        """An updater that reaches no runtime: for what only concerns the store and the policy."""
        with self._made(self.policy(), (), (), reading=reading) as updater:
            yield updater

    def _backends(self) -> Sequence[Backend]:
        if self.world.backends is not None:
            return self.world.backends
        return open_backends(self.options.backends, self.world.environ, self.warn)

    @contextlib.contextmanager
    def _made(
        self,
        policy: Policy,
        backends: Sequence[Backend],
        observers: Sequence[Observer],
        *,
        reading: bool = False,
    ) -> Iterator[Updater]:
        with self.store(reading=reading) as store:
            updater = Updater(
                backends=backends,
                policy=policy,
                store=store,
                tags=self.tags,
                facts=self.facts,
                clock=self.world.clock,
                observers=observers,
            )
            with updater:
                yield updater


def rendered(kind: str, document: Mapping[str, Any]) -> str:
    """A JSON document with its version and kind.

    ASCII only: then no control or direction character of a foreign text reaches a terminal.
    """
    return json.dumps({"apiVersion": API_VERSION, "kind": kind, **document}, indent=2) + "\n"
