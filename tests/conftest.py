"""Fixtures for real servers, Hypothesis profiles, and the rule that under CI no live test may skip.

A server comes from the environment (``SAFEUPDATER_TEST_…``) or is started by ``testbed``. Where it is
neither given nor startable, the test skips with the reason; with ``CI=true`` that skip is a failure,
unless the reason begins with "does not apply: " (a promise that what is tested does not make).
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

from testbed.processes import Unavailable

UNDER_CI = os.environ.get("CI", "").lower() in {"1", "true"}
LIVE_TESTS = Path(__file__).parent / "live"
SERVER_FIXTURES = frozenset({"docker_host", "registry", "postgres_url"})

settings.register_profile(
    "default",
    max_examples=60,
    deadline=None,
    derandomize=UNDER_CI,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("full", settings.get_profile("default"), max_examples=2_000, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


# --- live tests --------------------------------------------------------------------------------------------


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as live what lies in tests/live and whatever asks for a server."""
    for item in items:
        wants_server = SERVER_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        if wants_server or LIVE_TESTS in item.path.parents:
            item.add_marker(pytest.mark.live)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """A fixture that starts a server of its own, which cannot run here, skips its test."""
    return (yield from _skipping_without_a_server())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """A test that starts a server of its own skips where that cannot run."""
    return (yield from _skipping_without_a_server())


def _skipping_without_a_server() -> Generator[None, None, None]:
    try:
        return (yield)
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A live test that skips under CI has proved nothing: report it as failed."""
    report = yield
    if UNDER_CI and item.get_closest_marker("live"):
        _fail_a_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module of live tests that skips itself."""
    report = yield
    if UNDER_CI and LIVE_TESTS in collector.path.parents:
        _fail_a_skip(report)
    return report


def _fail_a_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Fails what skipped, but for a clause of a contract suite that does not apply to what is tested."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if reason.removeprefix("Skipped: ").startswith("does not apply: "):
            return
        report.outcome = "failed"
        report.longrepr = f"a live test must not skip under CI: {reason}"


# --- servers -----------------------------------------------------------------------------------------------

Served = TypeVar("Served")


def _serve(server: AbstractContextManager[Served]) -> Iterator[Served]:
    """Runs a testbed server around a fixture's life; skips where this machine cannot run it."""
    try:
        running = server.__enter__()
    except Unavailable as reason:
        pytest.skip(str(reason))
    try:
        yield running
    finally:
        server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def docker_host() -> Iterator[str]:
    """The URL of a Docker daemon: ``SAFEUPDATER_TEST_DOCKER_HOST``, or one of our own."""
    given = os.environ.get("SAFEUPDATER_TEST_DOCKER_HOST")
    if given:
        yield given
        return
    from testbed.docker import Dockerd

    yield from (daemon.host for daemon in _serve(Dockerd()))


@pytest.fixture(scope="session")
def registry() -> Iterator[str]:
    """``host:port`` of an OCI registry: ``SAFEUPDATER_TEST_REGISTRY``, or one of our own."""
    given = os.environ.get("SAFEUPDATER_TEST_REGISTRY")
    if given:
        yield given
        return
    from testbed.registry import Registry

    yield from (server.address for server in _serve(Registry()))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a PostgreSQL database: ``SAFEUPDATER_TEST_DATABASE_URL``, or one of our own."""
    given = os.environ.get("SAFEUPDATER_TEST_DATABASE_URL")
    if given:
        yield given
        return
    from testbed.postgres import Postgres

    yield from (server.url for server in _serve(Postgres()))
