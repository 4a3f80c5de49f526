"""Running again what a violation names, from its seed, its schedule or its name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from tests.simulation import aborts, bugs, crashes, docker_crashes, kills, parts, promises, waiting
from tests.simulation.sizes import STORES


def _history(rest: str) -> list[str]:
    store, number = rest.split(":")
    return parts.history_row("", store, int(number), 1).violations


def _bug(rest: str) -> list[str]:
    """Plants it again: the violations are those that it must cause."""
    name, seed = rest.rsplit(":", 1)
    number = next(number for number, bug in enumerate(bugs.BUGS) if bug.name == name)
    return parts.bug_row(number, int(seed)).violations


def _docker(rest: str) -> list[str]:
    name, schedule = rest.split(":")
    return docker_crashes.replay(name, docker_crashes.parse(schedule)).violations


def _kills(rest: str) -> list[str]:
    store, seed, index = rest.split(":")
    given = os.environ.get("SAFEUPDATER_TEST_DATABASE_URL", store)
    url = store if store in STORES else given
    return kills.run_kills(url, 1, int(seed), only=int(index)).violations


def _health(rest: str) -> list[str]:
    name, windows, seed = rest.rsplit(":", 2)
    return promises.health_row(name, int(windows), int(seed)).violations


KINDS: Mapping[str, Callable[[str], list[str]]] = {
    "crash": lambda rest: crashes.replay_case(rest).violations,
    "history": _history,
    "abort": lambda rest: aborts.replay_case(rest).violations,
    "bug": _bug,
    "docker": _docker,
    "kills": _kills,
    "health": _health,
    "start": lambda rest: waiting.replay_case(rest),
    "suite": lambda rest: promises.suite_row(rest, True).violations,
    "benchmarks": lambda rest: promises.benchmark_row(False).violations,
}


def replay(text: str) -> list[str]:
    """Runs again what a violation names; what it finds."""
    kind, _, rest = text.partition(":")
    if kind not in KINDS:
        raise SystemExit(f"{text!r} names nothing to replay: it begins with one of {', '.join(KINDS)}")
    return KINDS[kind](rest)
