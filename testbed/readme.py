"""README's first command as a newcomer types it: a clean copy of the checkout, nothing but Python.

``python -m testbed.readme`` makes the copy, runs the command there without any Docker daemon, and then the
demo again on a daemon of the testbed's. ``--debian DIR`` does both inside a Debian tree that ``debootstrap``
made, with ``git`` and ``python3-venv`` in it; it needs root.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from testbed.docker import Dockerd
from testbed.processes import Unavailable

ROOT = Path(__file__).resolve().parents[1]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEMO = ".venv/bin/safeupdater demo"
# What a demo promises, wherever it runs.
PROMISED = (
    "The good patch was applied", "The bad release was caught and rolled back",
    "The major version waits for somebody",
)  # fmt: skip
WITH_DOCKER = "on this machine's Docker daemon"


def commands() -> list[str]:
    """README's commands, in their order."""
    section = (ROOT / "README.md").read_text().partition("\n## Try it\n")[2].partition("\n## ")[0]
    return re.findall(r"^```shell\n(.*?)\n```$", section, re.MULTILINE | re.DOTALL)


def copy_checkout(to: Path) -> None:
    """What a fresh clone would have, with what is not committed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        source, target = ROOT / name, to / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def of_pip(environ: Mapping[str, str]) -> dict[str, str]:
    """What pip is told: what this machine says of it, and to outlast an index that is away for a minute."""
    return {"PIP_RETRIES": "8", **{name: text for name, text in environ.items() if name.startswith("PIP_")}}


class Newcomer:
    """A shell in a clean copy of the checkout, with hardly any environment; ``tree`` is a root to be in."""

    def __init__(self, directory: Path, tree: Path | None = None) -> None:
        self._directory, self._tree = directory, tree
        copy_checkout(directory)

    def types(self, command: str, **environ: str) -> str:
        """Runs a line, shows what it prints, and gives it.

        Raises:
            SystemExit: it failed.
        """
        print(f"$ {command}", flush=True)
        given = of_pip(os.environ)
        if self._tree is None:
            given.setdefault("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip"))
        done = subprocess.run(
            [*self._prefix(), "/bin/sh", "-c", f"cd {self._inside()} && {command}"],
            env={"PATH": self._path(), "HOME": str(self._inside()), "LC_ALL": "C.UTF-8", **given, **environ},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False,
        )  # fmt: skip
        print(done.stdout, flush=True)
        if done.returncode != 0:
            raise SystemExit(f"exit code {done.returncode}: {command}")
        return done.stdout

    def _prefix(self) -> Sequence[str]:
        return () if self._tree is None else ("chroot", str(self._tree))

    def _inside(self) -> Path:
        return self._directory if self._tree is None else Path("/") / self._directory.relative_to(self._tree)

    def _path(self) -> str:
        # The python3 that runs this, which need not be the system's; in a tree there is one only.
        return PATH if self._tree else f"{Path(sys.executable).parent}:{PATH}"


def expect(shown: str, *promises: str) -> None:
    """Ends with a message unless all of it was printed."""
    missing = [promise for promise in promises if promise not in shown]
    if missing:
        raise SystemExit(f"what was printed lacks {missing}")


def proved(newcomer: Newcomer, places: Mapping[str, str]) -> None:
    """The first command without a daemon, then its demo with the one that ``places`` names."""
    nowhere = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    shown = newcomer.types(commands()[0], **nowhere)
    expect(shown, *PROMISED)
    if WITH_DOCKER in shown:
        raise SystemExit("there is no daemon, and it says that it used one")
    expect(newcomer.types(DEMO, **places), *PROMISED, WITH_DOCKER)


@contextlib.contextmanager
def socket_in(tree: Path | None, socket: Path) -> Iterator[str]:
    """The URL of a daemon's socket as it is seen inside of a tree."""
    if tree is None:
        yield f"unix://{socket}"
        return
    seen = tree / "run" / "docker.sock"
    seen.touch()
    subprocess.run(["mount", "--bind", socket, seen], check=True)
    try:
        yield "unix:///run/docker.sock"
    finally:
        subprocess.run(["umount", seen], check=True)


def main() -> None:
    """Runs it all, in a directory that goes away."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--debian", metavar="DIR", type=Path, help="the root of a Debian tree")
    tree = parser.parse_args().debian
    with contextlib.ExitStack() as stack:
        inside = None if tree is None else str(tree / "tmp")
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="su-readme-", dir=inside))
        newcomer = Newcomer(Path(directory), tree)
        daemon = stack.enter_context(Dockerd())
        proved(newcomer, {"DOCKER_HOST": stack.enter_context(socket_in(tree, daemon.socket))})


if __name__ == "__main__":
    try:
        main()
    except Unavailable as reason:
        raise SystemExit(f"cannot run here: {reason}") from None
