"""Every example in README.md and docs/ does what the page says."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from markdown_blocks import Page, blocks_in, printed_as_promised, read_page, script_of

ROOT = Path(__file__).parents[2]
PAGES = [path for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if path.exists()]
MARK = "\x1e"
HAS_CLI = importlib.util.find_spec("safeupdater.__main__") is not None
HAS_POLICY = importlib.util.find_spec("safeupdater.config.policy") is not None


def pages_where(attribute: str) -> list[object]:
    """The pages that have such blocks, as test parameters; live where the page needs a server."""
    pages = [page for page in map(read_page, PAGES) if getattr(page, attribute)]
    return [
        pytest.param(
            page, id=str(page.path.relative_to(ROOT)), marks=[pytest.mark.live] if page.needs else []
        )
        for page in pages
    ]


@pytest.fixture
def docker_env(page: Page, tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    """A daemon for the pages that declare that they need one, and none for the others."""
    if "docker" in page.needs:
        return {"DOCKER_HOST": request.getfixturevalue("docker_host")}
    return {"DOCKER_HOST": f"unix://{tmp_path}/no-daemon.sock"}


def run(argv: list[str], directory: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a program as a reader would: in an empty directory, without a terminal, within a minute or two."""
    # Importable from a checkout that is not installed, and 80 columns wide like the pages.
    base = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "NO_COLOR": "1", "HOME": str(directory)}
    return subprocess.run(
        argv,
        cwd=directory,
        env={**base, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def save_files(page: Page, directory: Path) -> None:
    for block in page.files:
        target = directory / block.title
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.text + "\n", encoding="utf-8")


def run_python(page: Page, directory: Path, **env: str) -> None:
    """Runs the page's python blocks and compares what each prints with what the page says."""
    save_files(page, directory)
    script = directory / f"{page.path.stem}_page.py"
    script.write_text(script_of(page.scripts, MARK), encoding="utf-8")
    ran = run([sys.executable, script.name], directory, **env)
    assert ran.returncode == 0, f"line numbers are those of {page.path.name}\n{ran.stdout}\n{ran.stderr}"
    printed = ran.stdout.split(f"{MARK}\n")
    assert len(printed) == len(page.scripts) + 1
    for block, got in zip(page.scripts, printed, strict=False):
        promised = page.output_after(block)
        assert promised is None or printed_as_promised(promised, got), (
            f"{page.path.name}:{block.line} prints\n{got}\nbut the page says\n{promised}"
        )


def run_commands(page: Page, directory: Path, **env: str) -> None:
    save_files(page, directory)
    for command in page.commands:
        words = shlex.split(command.text, comments=True)
        ran = run([sys.executable, "-m", *words], directory, **env)
        assert ran.returncode == command.exit_code, (
            f"{page.path.name}:{command.line}: {command.text}\n"
            f"exit {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
        )


# --- pages -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", pages_where("scripts"))
def test_python_blocks_run_and_print_what_the_page_says(
    page: Page, tmp_path: Path, docker_env: dict[str, str]
) -> None:
    run_python(page, tmp_path, **docker_env)


@pytest.mark.skipif(not HAS_CLI, reason="the command line is not built yet")
@pytest.mark.parametrize("page", pages_where("commands"))
def test_commands_end_with_the_exit_code_that_the_page_says(
    page: Page, tmp_path: Path, docker_env: dict[str, str]
) -> None:
    run_commands(page, tmp_path, **docker_env)


# --- yaml --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_yaml_blocks_are_yaml_and_policies_load(path: Path, tmp_path: Path) -> None:
    for block in read_page(path).of_language("yaml", "yml"):
        yaml.safe_load(block.text)
        if block.title.endswith("policy.yaml") and HAS_POLICY:
            from safeupdater.config.policy import Policy

            saved = tmp_path / "policy.yaml"
            saved.write_text(block.text, encoding="utf-8")
            Policy.load(saved)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_says_what_it_is(path: Path) -> None:
    known = {"python", "shell", "console", "yaml", "json", "text", "toml", "ini", "diff"}
    unknown = [f"line {block.line}: {block.language!r}" for block in read_page(path).blocks]
    assert [entry for entry in unknown if entry.partition(": ")[2].strip("'") not in known] == []


# --- the runner itself -------------------------------------------------------------------------------------


def page_of(text: str, tmp_path: Path) -> Page:
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    return read_page(path)


def test_a_wrong_promise_is_found(tmp_path: Path) -> None:
    text = '# T\n\n```python\nx = 2\nprint(x)\n```\n\n```text title="output"\n3\n```\n'
    with pytest.raises(AssertionError, match=r"page\.md:3 prints"):
        run_python(page_of(text, tmp_path), tmp_path)
    run_python(page_of(text.replace("\n3\n", "\n2\n"), tmp_path), tmp_path)


def test_a_failing_block_is_found_at_its_line(tmp_path: Path) -> None:
    text = "# T\n\n```python\nx = 2\n```\n\nwords\n\n```python\nx / 0\n```\n"
    with pytest.raises(AssertionError, match="line 10"):
        run_python(page_of(text, tmp_path), tmp_path)


def test_titled_blocks_are_files_that_examples_find(tmp_path: Path) -> None:
    saved = '```yaml title="a/policy.yaml"\nversion: 1\n```\n'
    text = saved + '```python\nassert open("a/policy.yaml").read()\n```\n'
    run_python(page_of(text, tmp_path), tmp_path)


def test_commands_carry_their_exit_code(tmp_path: Path) -> None:
    page = page_of("```shell\nsafeupdater plan --exit-code  # exit 3\npip install x\n```\n", tmp_path)
    assert [(command.exit_code, command.line) for command in page.commands] == [(3, 2)]


def test_an_unclosed_block_is_an_error() -> None:
    with pytest.raises(ValueError, match="line 2"):
        list(blocks_in("words\n```python\nx = 1\n"))
