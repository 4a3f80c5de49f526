"""Which rights a connection to a daemon gives, as ``doctor`` says it."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Iterable, Iterator

from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.docker.observing import is_loopback
from safeupdater.backends.docker.rights import Right, Rights, look
from safeupdater.cli.checks import Check, Health

ALLOW = "allow this at the proxy before the socket; the reference of Docker, Rights, has the whole list"
"""What helps where a proxy denies a call."""


def rights_of(backend: DockerBackend) -> Iterator[Check]:
    """What may be done through this connection, what is missing, and what is allowed without need."""
    subject, rights = f"rights at {backend.api.written_url}", look(backend.api)
    if rights.is_full_control:
        yield _full_control(subject, backend.api.url)
        return
    yield from _missing(subject, rights)
    if rights.excess:
        # A note: many proxies know only whole groups of calls, and cannot be told better.
        yield Check(
            subject=subject,
            health=Health.OK,
            detail=f"more than is ever needed is allowed: {_listed(rights.excess)}",
            remedy="a proxy that filters by method and path can deny this",
        )


def _full_control(subject: str, url: str) -> Check:
    """A daemon that answers lets us do anything: it is said, because not everybody knows."""
    is_open = url.startswith(("tcp://", "http://")) and not is_loopback(
        urllib.parse.urlsplit(url).hostname or ""
    )
    return Check(
        subject=subject,
        health=Health.WARNING if is_open else Health.OK,
        detail=f"full control of the daemon, as good as root on its host; we are uid {os.getuid()} here",
        remedy="this daemon is reached without TLS: anybody on the network can do the same; "
        "use DOCKER_TLS_VERIFY and DOCKER_CERT_PATH"
        if is_open
        else "",
    )


def _missing(subject: str, rights: Rights) -> Iterator[Check]:
    if rights.missing:
        detail = f"no update is possible, this is not allowed: {_listed(rights.missing)}"
        yield Check(subject=subject, health=Health.FAILED, detail=detail, remedy=ALLOW)
    else:
        detail = (
            "every call of an update is allowed, and not all others; creating containers is root's right too"
        )
        yield Check(subject=subject, health=Health.OK, detail=detail)
    for what, missing in (
        ("exec checks and hooks inside of containers", rights.missing_for_commands),
        ("containers with a stop signal in a label (before API 1.42)", rights.missing_for_stop_signals),
    ):
        if missing:
            detail = f"{what} do not work, this is not allowed: {_listed(missing)}"
            yield Check(subject=subject, health=Health.WARNING, detail=detail, remedy=ALLOW)


def _listed(rights: Iterable[Right]) -> str:
    return ", ".join(f"{right} ({right.purpose})" for right in rights)
