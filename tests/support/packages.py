"""Installed packages with entry points, made of files in a directory on the path."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path


class Site:
    """A directory of installed packages; ``install`` adds one of a single module."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._before = set(sys.modules)

    def install(
        self, package: str, module: str, code: str, group: str = "gates", **entry_points: str
    ) -> None:
        """Installs a package whose entry points in a group are ``name=target of the module``."""
        info = self.path / f"{package.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = "\n".join(f"{name} = {module}:{target}" for name, target in entry_points.items())
        (info / "entry_points.txt").write_text(f"[safeupdater.{group}]\n{lines}\n")
        (self.path / f"{module}.py").write_text(textwrap.dedent(code))

    def forget(self) -> None:
        """Takes the modules of the packages, whose names begin with acme, out of this process again."""
        for name in set(sys.modules) - self._before:
            if name.startswith("acme"):
                del sys.modules[name]
