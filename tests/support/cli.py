"""The command line over the in-memory world: a host, a registry and a clock in one object."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import jsonschema
import pytest

from safeupdater.backends.memory import MemoryBackend, MemoryWorld
from safeupdater.cli import documents
from safeupdater.cli.app import run
from safeupdater.cli.session import World
from safeupdater.testing.clock import FakeClock


@attrs.frozen
class Ran:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """What it printed as a JSON document, checked against the schema of its kind."""
        document: dict[str, Any] = json.loads(self.out)
        jsonschema.validate(
            document,
            closed(documents.schema(document["kind"])),
            cls=jsonschema.Draft202012Validator,
            format_checker=jsonschema.FormatChecker(),
        )
        return document


def closed(schema: Any) -> Any:
    """The schema with every object closed: then a field that it does not describe is an error too."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    return {**made, "additionalProperties": False} if isinstance(made.get("properties"), dict) else made


@attrs.define
class Shell:
    """Runs command lines as separate processes would: only the store and the world stay."""

    directory: Path
    capsys: pytest.CaptureFixture[str]
    clock: FakeClock = attrs.field(factory=FakeClock)
    environ: dict[str, str] = attrs.field(factory=dict)
    confirm: Callable[[str], bool] | None = None
    world: MemoryWorld = attrs.field(init=False)
    backend: MemoryBackend = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.world = MemoryWorld(self.clock, host="prod-1")
        self.backend = MemoryBackend(self.world)
        self.environ.setdefault("XDG_STATE_HOME", str(self.directory))
        self.environ.setdefault("SUDO_USER", "ann")

    def __call__(self, *arguments: str) -> Ran:
        """Runs one command line."""
        self.capsys.readouterr()
        code = run(
            arguments,
            World(
                environ=self.environ,
                clock=self.clock,
                backends=[self.backend],
                tags=self.world,
                confirm=self.confirm,
            ),
        )
        printed = self.capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    def json(self, *arguments: str) -> dict[str, Any]:
        """Runs one command line and gives its document."""
        return self(*arguments, "--output", "json").document

    def lose_power(self, image: str) -> None:
        """Lets the process die in the middle of an update to an image, the way a power cut would."""
        self.world.publish(image)

        class PowerCut(BaseException):
            pass

        perform = self.backend.perform

        def dies(*arguments: object) -> object:
            if "start" in arguments:
                raise PowerCut
            return perform(*arguments)  # type: ignore[arg-type]

        self.backend.perform = dies  # type: ignore[method-assign,assignment]
        with pytest.raises(PowerCut):
            self("apply", "--yes")
        self.backend.perform = perform  # type: ignore[method-assign]
        # The process that died is this one, which lives: its lease must expire.
        self.clock.advance(7200)
