"""Links lead somewhere, and the commands that pages tell people to type are those that CI runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from safeupdater.cli.app import cli

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)\s#]+)")
TYPED = re.compile(r"^\$ safeupdater (?P<words>.+)$", re.MULTILINE)
INSTALL = "pip install -e '.[cli,sql,regex]' --group "


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_to_a_file(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_install_command_upgrades_pip_first_and_is_the_one_that_ci_runs(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if "--group" not in text:
        return
    assert INSTALL in text
    upgrade = re.search(r"pip install (-q )?(-U|--upgrade) pip", text)
    assert upgrade, "dependency groups need pip 25.1: upgrade pip before"
    assert upgrade.start() < text.index(INSTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_people_are_shown_are_commands_that_we_have(page: Path) -> None:
    for typed in TYPED.finditer(page.read_text(encoding="utf-8")):
        name, *rest = shlex.split(typed["words"], comments=True)
        command = cli.commands[name]
        while isinstance(command, click.Group):
            name, *rest = rest
            command = command.commands[name]
        command.make_context(name, rest)  # raises for an option or argument that it does not take


def test_ci_installs_and_tests_as_the_pages_say() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert INSTALL.removeprefix("pip install ") in script
    assert "-m pytest" in script


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if f" {page}" not in navigation] == []


@pytest.mark.parametrize(
    "section", sorted((ROOT / "docs").glob("*/index.md")), ids=lambda path: path.parent.name
)
def test_the_first_page_of_a_section_links_all_others(section: Path) -> None:
    text = section.read_text(encoding="utf-8")
    pages = [path.name for path in section.parent.glob("*.md") if path != section]
    assert [page for page in pages if f"]({page})" not in text] == []
