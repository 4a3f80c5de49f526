"""Fenced blocks of a Markdown file, and a runner that does with them what a reader would do.

- A block titled as a file (```` ```yaml title="policy.yaml" ````) is written to the working directory.
- The ``python`` blocks of a page run in order, as one script in a fresh interpreter.
- The ``safeupdater …`` lines of ``shell`` blocks run in order; ``# exit 3`` behind one is its exit code.
- A ``text`` block titled ``output`` is what the block before it prints; ``...`` stands for anything.
- ``<!-- needs: docker -->`` on a page says that its commands talk to a Docker daemon.
"""

from __future__ import annotations

import doctest
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import attrs

FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+|~~~+)(?P<info>.*)$")
TITLE = re.compile(r'title="([^"]*)"')
NEEDS = re.compile(r"<!-- needs: (\w+) -->")
EXIT_CODE = re.compile(r"#\s*exit (\d+)\s*$")


@attrs.frozen(kw_only=True)
class Block:
    """One fenced block: ``line`` is that of its opening fence, counted from 1; ``last_line`` its end."""

    language: str
    title: str
    text: str
    line: int
    last_line: int


@attrs.frozen
class Command:
    """One shell line of a page, with the exit code that the page promises."""

    text: str
    line: int
    exit_code: int = 0


@attrs.frozen(kw_only=True)
class Page:
    """One Markdown file, cut into blocks."""

    path: Path
    blocks: tuple[Block, ...]
    needs: frozenset[str] = frozenset()

    def of_language(self, *languages: str) -> tuple[Block, ...]:
        """The blocks in one of these languages, in order."""
        return tuple(block for block in self.blocks if block.language in languages)

    @property
    def files(self) -> tuple[Block, ...]:
        """The blocks that a reader saves as a file: their title has a suffix."""
        return tuple(block for block in self.blocks if Path(block.title).suffix)

    @property
    def scripts(self) -> tuple[Block, ...]:
        """The python blocks that run; those saved as a file run where a command runs that file."""
        return tuple(block for block in self.of_language("python") if not Path(block.title).suffix)

    @property
    def commands(self) -> tuple[Command, ...]:
        """The ``safeupdater …`` lines of its shell blocks."""
        return tuple(
            command for block in self.of_language("shell", "console") for command in commands_of(block)
        )

    def output_after(self, block: Block) -> str | None:
        """What the page says that a block prints: the ``output`` block that comes next, if one does."""
        index = self.blocks.index(block) + 1
        following = self.blocks[index] if index < len(self.blocks) else None
        return following.text if following and following.title == "output" else None


def read_page(path: Path) -> Page:
    """A Markdown file as a page."""
    text = path.read_text(encoding="utf-8")
    return Page(path=path, blocks=tuple(blocks_in(text)), needs=frozenset(NEEDS.findall(text)))


def blocks_in(text: str) -> Iterator[Block]:
    """The fenced blocks of a text, in order; an unclosed one is an error."""
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        opening = FENCE.match(line)
        if opening is None:
            continue
        body = []
        for _, inner in lines:
            if inner.strip() == opening["ticks"]:
                break
            body.append(inner)
        else:
            raise ValueError(f"line {number}: this block is never closed")
        language, _, rest = opening["info"].strip().partition(" ")
        title = TITLE.search(rest)
        yield Block(
            language=language,
            title=title[1] if title else "",
            text=textwrap.dedent("\n".join(body)),
            line=number,
            last_line=number + len(body) + 1,
        )


def commands_of(block: Block) -> Iterator[Command]:
    """The lines that begin with ``safeupdater``, after an optional ``$`` prompt."""
    for offset, raw in enumerate(block.text.splitlines(), start=1):
        line = raw.removeprefix("$ ")
        if line.startswith("safeupdater "):
            promised = EXIT_CODE.search(line)
            yield Command(line, block.line + offset, int(promised[1]) if promised else 0)


def script_of(blocks: tuple[Block, ...], mark: str) -> str:
    """The blocks as one script in which each line keeps its number, so that a traceback points at the page.

    After each block stands a print of ``mark``, on the line of its closing fence.
    """
    lines = [""] * blocks[-1].last_line
    for block in blocks:
        body = block.text.splitlines()
        lines[block.line : block.line + len(body)] = body
        lines[block.last_line - 1] = f"print({mark!r}, flush=True)"
    return "\n".join(lines)


def printed_as_promised(promised: str, printed: str) -> bool:
    """Whether the output is the promised one, but for trailing spaces and what ``...`` stands for."""
    got = "".join(f"{line.rstrip()}\n" for line in printed.strip("\n").splitlines())
    want = "".join(f"{line.rstrip()}\n" for line in promised.strip("\n").splitlines())
    return doctest.OutputChecker().check_output(want, got, doctest.ELLIPSIS)
