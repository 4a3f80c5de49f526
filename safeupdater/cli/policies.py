"""``policy``: what holds, why, and whether a file can be used."""

from __future__ import annotations

import json

import click
from rich.text import Text

from safeupdater.cli.exits import Exit
from safeupdater.cli.options import Group
from safeupdater.cli.session import Session
from safeupdater.cli.targets import find_asset
from safeupdater.cli.text import clean_lines
from safeupdater.config.policy import Policy
from safeupdater.errors import ConfigurationError, Problem


@click.group(cls=Group)
def policy() -> None:
    """The policy: show, explain, check, schema."""


@policy.command()
@click.pass_obj
def show(session: Session) -> int:
    """Print the policy that holds.

    In canonical form: JSON, which is YAML too.
    """
    found = session.policy()
    session.say(f"policy: {found.source}", "dim")
    session.text(json.dumps(found.to_dict(), indent=2))
    return Exit.DONE


@policy.command()
@click.argument("asset")
@click.pass_obj
def explain(session: Session, asset: str) -> int:
    """Say which rules hold for one ASSET, and who set what."""
    with session.records(reading=True) as updater:
        explained = session.policy().explain(find_asset(updater.inventory, asset))
    document = {
        "asset_id": explained.asset_id,
        "source": explained.source,
        "fingerprint": explained.fingerprint,
        "rules": [{"index": rule.index, "match": rule.match} for rule in explained.rules],
        "settings": [
            {"key": item.key, "value": item.value, "set_by": item.set_by} for item in explained.settings
        ],
    }
    session.result("PolicyExplanation", document, Text(clean_lines(str(explained))))
    return Exit.DONE


@policy.command()
@click.argument("file", type=click.Path(), required=False)
@click.pass_obj
def check(session: Session, file: str | None) -> int:
    """Say everything that is wrong with a policy.

    Without FILE it is the one that holds. Each problem comes with its line and column.
    """
    try:
        policy = Policy.load(file) if file else session.policy()
        file = file or policy.source
    except ConfigurationError as error:
        problems = error.problems or (Problem(path="", message=error.message),)
        document = {
            "file": file or "",
            "valid": False,
            "problems": [_problem(problem) for problem in problems],
        }
        session.result("PolicyCheck", document, Text(clean_lines(str(error))))
        return Exit.FAILURE
    document = {"file": file, "valid": True, "problems": []}
    session.result("PolicyCheck", document, Text(clean_lines(f"{file}: good")))
    return Exit.DONE


def _problem(problem: Problem) -> dict[str, object]:
    return {
        "path": problem.path,
        "message": problem.message,
        "line": problem.line,
        "column": problem.column,
    }


@policy.command()
@click.pass_obj
def schema(session: Session) -> int:
    """Print the JSON Schema of policy files, for editors."""
    from safeupdater.config.schema import json_schema

    session.text(json.dumps(json_schema(), indent=2))
    return Exit.DONE
