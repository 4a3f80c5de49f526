"""Global options: they may stand before or after the name of the command."""

from __future__ import annotations

import difflib
from typing import Any

import attrs
import click
from click.shell_completion import CompletionItem


@attrs.frozen(kw_only=True)
class Options:
    """What the global options say; None and () where they say nothing."""

    backends: tuple[str, ...] = ()
    policy: str | None = None
    store: str | None = None
    registry: str | None = None
    registries: str | None = None
    facts: tuple[str, ...] = ()
    observers: tuple[str, ...] = ()
    output: str = "table"
    verbose: bool = False
    quiet: bool = False
    no_color: bool = False

    @property
    def json(self) -> bool:
        """Whether results are JSON documents."""
        return self.output == "json"


def shared_options(*, hidden: bool) -> list[click.Parameter]:
    """The global options anew; on a command they are hidden, since the group's help lists them."""
    # Only the group reads the environment: a command's option that was not given must not win over it.
    environment = not hidden
    return [
        click.Option(
            ["--backend", "backends"],
            multiple=True,
            metavar="docker|ALIAS=URL|PLUGIN",
            envvar="SAFEUPDATER_BACKEND" if environment else None,
            hidden=hidden,
            help="Where to look; may be repeated. Default: every runtime that can be reached.",
        ),
        click.Option(
            ["--policy"],
            metavar="FILE",
            envvar="SAFEUPDATER_POLICY" if environment else None,
            hidden=hidden,
            help="The policy. Default: ./policy.yaml, else the built-in one.",
        ),
        click.Option(
            ["--store"],
            metavar="URL",
            envvar="SAFEUPDATER_STORE" if environment else None,
            hidden=hidden,
            help="Where state is kept: sqlite:///PATH, json:PATH, postgresql://…, memory:. "
            "Default: SQLite in $XDG_STATE_HOME/safeupdater.",
        ),
        click.Option(
            ["--registry"],
            metavar="oci|PLUGIN",
            envvar="SAFEUPDATER_REGISTRY" if environment else None,
            hidden=hidden,
            help="Where newer versions are looked for. Default: oci, any OCI registry.",
        ),
        click.Option(
            ["--registries"],
            metavar="FILE",
            envvar="SAFEUPDATER_REGISTRIES" if environment else None,
            hidden=hidden,
            help="What is special about single registries: private CAs, plain HTTP, budgets.",
        ),
        click.Option(
            ["--facts"],
            multiple=True,
            metavar="PLUGIN",
            envvar="SAFEUPDATER_FACTS" if environment else None,
            hidden=hidden,
            help="Who knows facts that gates need; may be repeated.",
        ),
        click.Option(
            ["--observer", "observers"],
            multiple=True,
            metavar="PLUGIN",
            envvar="SAFEUPDATER_OBSERVER" if environment else None,
            hidden=hidden,
            help="Who is told what happens; may be repeated.",
        ),
        click.Option(
            ["--output", "-o"],
            type=click.Choice(["table", "json"]),
            envvar="SAFEUPDATER_OUTPUT" if environment else None,
            hidden=hidden,
            help="What results look like. Default: table.",
        ),
        click.Option(["--verbose", "-v"], is_flag=True, hidden=hidden, help="Say more on stderr."),
        click.Option(["--quiet", "-q"], is_flag=True, hidden=hidden, help="Only results and errors."),
        click.Option(["--no-color"], is_flag=True, hidden=hidden, help="No colours (also: NO_COLOR)."),
    ]


class Command(click.Command):
    """A command that takes the global options too."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params += shared_options(hidden=True)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """What a shell offers: the global options too, which help hides here."""
        names = (name for option in shared_options(hidden=False) for name in option.opts)
        found = [CompletionItem(name) for name in names if incomplete and name.startswith(incomplete)]
        is_option = incomplete.startswith("-")
        return [*super().shell_complete(ctx, incomplete), *(found if is_option else [])]

    def invoke(self, ctx: click.Context) -> Any:
        """Merges the options given here over those given before."""
        ctx.obj.adjust(take_options(ctx.params))
        return super().invoke(ctx)


class Group(click.Group):
    """A group whose commands take the global options."""

    command_class = Command
    group_class = type

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggests the name that was probably meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = difflib.get_close_matches(args[0], self.list_commands(ctx), 1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(error.message + hint, ctx) from error


def take_options(parameters: dict[str, Any]) -> dict[str, Any]:
    """Takes the global options out of a command's parameters; only those that were given."""
    taken = {field.name: parameters.pop(field.name, None) for field in attrs.fields(Options)}
    return {name: value for name, value in taken.items() if value not in (None, (), False)}
