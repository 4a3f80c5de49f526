"""Every check of the project by name: ``nox -l`` lists them, ``nox`` runs the default ones.

Sessions keep their environments. ``nox --no-venv --no-install`` runs them in the present environment,
which is what ``.ci/run`` does. Nothing but pip needs a network.
"""

from __future__ import annotations

import pathlib
import tempfile

import nox

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = ["3.11", "3.12", "3.13"]
PACKAGE = ("-e", ".[cli,sql,regex]")

nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "typing", "arch", "tests", "docs", "build"]


def _install(session: nox.Session, *groups: str, package: bool = True) -> None:
    """Installs dependency groups of pyproject.toml, and the package with its extras."""
    session.install(*(PACKAGE if package else ()), *nox.project.dependency_groups(PROJECT, *groups))


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting, and news fragments that towncrier can read."""
    _install(session, "lint", package=False)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("towncrier", "build", "--draft", "--version", "unreleased", silent=True)


@nox.session
def typing(session: nox.Session) -> None:
    """The package and the typing tests under mypy --strict and under pyright."""
    _install(session, "types", "test")
    session.run("mypy", "--strict")
    session.run("pyright")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The whole test suite, once for each Python that is there. Live tests skip where no server can run."""
    _install(session, "test")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def property(session: nox.Session) -> None:  # noqa: A001 - the name that people type
    """The property tests with many more examples."""
    _install(session, "test")
    env = {"HYPOTHESIS_PROFILE": "full"}
    session.run("python", "-m", "pytest", "tests/property", "--timeout=1800", *session.posargs, env=env)


@nox.session
def arch(session: nox.Session) -> None:
    """Layers, what an import loads, docstrings of public names."""
    _install(session, "test")
    session.run("lint-imports")
    session.run("python", "-m", "pytest", "tests/arch", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Runs every example in README.md and docs/, and builds the site into site/."""
    _install(session, "docs", "test")
    session.run("python", "-m", "pytest", "tests/docs", *session.posargs)
    session.run("zensical", "build", "--clean", "--strict")


@nox.session
def live(session: nox.Session) -> None:
    """The tests against real servers; CI=true turns a skip into a failure."""
    _install(session, "test")
    session.run("python", "-m", "pytest", "-m", "live", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Every benchmark, each beside what it is compared with, in one run."""
    _install(session, "test")
    found = {path.stem for path in pathlib.Path("benchmarks").glob("*.py")} - {"report"}
    for name in session.posargs or sorted(found):
        session.run("python", "-m", f"benchmarks.{name}")


@nox.session
def bench_short(session: nox.Session) -> None:
    """Short runs of the benchmarks on real servers: they must run, their budgets are only shown.

    A machine that is busy with checks proves no budget: ``bench`` does, on a quiet one.
    """
    _install(session, "test")
    shown = [0, 3]
    for name, *options in (
        ("docker", "--pairs=3", "--rounds=2"),
        ("registry", "--images=200", "--rounds=3"),
        ("engine", "--updates=200", "--assets=1000", "--rounds=3"),
    ):
        session.run("python", "-m", f"benchmarks.{name}", *options, success_codes=shown)


@nox.session
def simulate(session: nox.Session) -> None:
    """Crashes, faults and random histories against the update engine, as one table."""
    _install(session, "test")
    session.run("python", "-m", "tests.simulation", *session.posargs)


CHECK_INSTALLED = """
import importlib.metadata, importlib.resources, pathlib, sys
import safeupdater
where = pathlib.Path(safeupdater.__file__)
assert pathlib.Path(sys.prefix) in where.parents, f"imported from {where}, not from the wheel"
assert importlib.resources.files("safeupdater").joinpath("py.typed").is_file(), "py.typed is missing"
assert importlib.metadata.version("safeupdater") == safeupdater.__version__
print("installed and imported: safeupdater", safeupdater.__version__)
"""


@nox.session
def readme(session: nox.Session) -> None:
    """README's first command in a clean copy, without Docker and with it; --debian DIR: in a Debian tree."""
    _install(session, "test")
    session.run("python", "-m", "testbed.readme", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Builds sdist and wheel, installs the wheel in a fresh environment and imports it there."""
    _install(session, "release", package=False)
    with tempfile.TemporaryDirectory(prefix="safeupdater-build-") as directory:
        fresh = pathlib.Path(directory)
        session.run("python", "-m", "build", "--outdir", str(fresh / "dist"), silent=True)
        (wheel,) = (fresh / "dist").glob("*.whl")
        (sdist,) = (fresh / "dist").glob("*.tar.gz")
        session.log(
            f"{wheel.name} {wheel.stat().st_size:,} bytes, {sdist.name} {sdist.stat().st_size:,} bytes"
        )
        session.run("python", "-m", "venv", str(fresh / "venv"))
        python = str(fresh / "venv" / "bin" / "python")
        session.run(python, "-m", "pip", "install", "--quiet", str(wheel), external=True)
        # From another directory, or the checkout would be imported instead of the wheel.
        session.chdir(fresh)
        session.run(python, "-c", CHECK_INSTALLED, external=True)
