"""What a connection to a daemon may do, asked without doing anything.

A proxy in front of a socket lets some calls through and answers 403 to the others. Each call is tried on
something that does not exist: where it is allowed, the daemon says that there is no such thing.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping

import attrs

from safeupdater.backends.docker.client import OLDEST_API, DockerApi
from safeupdater.errors import BackendError

_DENIED = (401, 403, 405)


@attrs.frozen(kw_only=True)
class Right:
    """One kind of call, what it is for, and how it is tried: on ``{id}``, with these parameters and body."""

    method: str
    path: str
    purpose: str
    params: Mapping[str, str] = attrs.field(factory=dict)
    body: Mapping[str, object] | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def _right(call: str, purpose: str, body: Mapping[str, object] | None = None, **params: str) -> Right:
    method, _, path = call.partition(" ")
    return Right(method=method, path=path, purpose=purpose, body=body, params=params)


_AGREE = _right("GET /version", "agree on an API version")

NEEDED = (
    _AGREE,
    _right("GET /info", "know which host it is"),
    _right("GET /containers/json", "find containers"),
    _right("GET /containers/{id}/json", "know everything about one"),
    _right("GET /containers/{id}/changes", "warn of files that get lost"),
    # An empty body is refused before anything is made of it.
    _right("POST /containers/create", "create the new version", {}),
    _right("POST /containers/{id}/start", "start it"),
    _right("POST /containers/{id}/stop", "stop the old version"),
    _right("POST /containers/{id}/rename", "move the name from one to the other", name="nothing"),
    _right("POST /containers/{id}/update", "hand on the restart policy", {}),
    _right("DELETE /containers/{id}", "remove what is no longer needed"),
    _right("GET /images/json", "know what the images are called"),
    _right("GET /images/{id}/json", "tell an image's defaults from your settings"),
    # Not a reference by any grammar, so that no registry is asked.
    _right("POST /images/create", "pull the new version", fromImage="!"),
    _right("POST /images/{id}/tag", "keep the old version's image", repo="nothing", tag="nothing"),
    _right("DELETE /images/{id}", "let go of an image that is no longer kept"),
    _right("POST /networks/{id}/connect", "attach it to its networks", {"Container": "nothing"}),
    _right(
        "POST /networks/{id}/disconnect",
        "take it off a network that the old one had left",
        {"Container": "nothing"},
    ),
)
"""Without these, some container could not be updated or brought back."""

FOR_COMMANDS = (
    _right("POST /containers/{id}/exec", "run a command inside", {"Cmd": ["true"]}),
    _right("POST /exec/{id}/start", "start it", {}),
    _right("GET /exec/{id}/json", "know how it ended"),
)
"""What ``exec`` checks and hooks inside of a container take."""

FOR_STOP_SIGNALS = (
    _right("POST /containers/{id}/kill", "stop by the signal that a label names", signal="SIGTERM"),
    _right("POST /containers/{id}/wait", "wait for that"),
)
"""What a stop by another signal takes before API 1.42."""

NEVER_NEEDED = (
    _right("GET /containers/{id}/archive", "read files of containers", path="/nothing"),
    _right("PUT /containers/{id}/archive", "write files into containers", path="/nothing"),
    _right("GET /containers/{id}/export", "take containers away whole"),
    _right("GET /containers/{id}/logs", "read logs", stdout="1"),
    _right("POST /commit", "make images of containers", {}, container="{id}"),
    _right("DELETE /networks/{id}", "remove networks"),
    _right("DELETE /volumes/{id}", "remove volumes"),
    _right("POST /plugins/{id}/enable", "enable plugins", timeout="1"),
    _right("GET /swarm", "look into the swarm"),
    _right("GET /secrets", "list secrets"),
)
"""A few that no update uses, and that a proxy should therefore not let through."""


@attrs.frozen(kw_only=True)
class Rights:
    """What is denied of each kind, and what is allowed without need."""

    missing: tuple[Right, ...] = ()
    missing_for_commands: tuple[Right, ...] = ()
    missing_for_stop_signals: tuple[Right, ...] = ()
    excess: tuple[Right, ...] = ()

    @property
    def is_full_control(self) -> bool:
        """Whether nothing that was tried is denied: no proxy, or one that lets everything through."""
        denied = (*self.missing, *self.missing_for_commands, *self.missing_for_stop_signals)
        return not denied and len(self.excess) == len(NEVER_NEEDED)


def look(api: DockerApi) -> Rights:
    """What this connection may do; nothing is changed by asking.

    Raises:
        BackendError: there was no answer.
    """
    version = _agreed(api)
    nothing = f"nothing-{uuid.uuid4().hex}"

    def denied(rights: Iterable[Right]) -> tuple[Right, ...]:
        return tuple(
            right
            for right in rights
            if (right is _AGREE and version is None) or _is_denied(api, right, nothing, version or OLDEST_API)
        )

    refused = denied(NEVER_NEEDED)
    return Rights(
        missing=denied(NEEDED),
        missing_for_commands=denied(FOR_COMMANDS),
        missing_for_stop_signals=denied(FOR_STOP_SIGNALS),
        excess=tuple(right for right in NEVER_NEEDED if right not in refused),
    )


def _agreed(api: DockerApi) -> tuple[int, int] | None:
    """The API version in use; None where asking for it is denied.

    Then any will do: a daemon that finds it too old says 400, and so was reached.
    """
    try:
        return api.version
    except BackendError as error:
        if error.evidence.get("status") not in _DENIED:
            raise
        return None


def _is_denied(api: DockerApi, right: Right, nothing: str, version: tuple[int, int]) -> bool:
    status = api.status(
        right.method,
        right.path.replace("{id}", nothing),
        f"say whether {right} is allowed",
        version=version,
        params={name: text.replace("{id}", nothing) for name, text in right.params.items()},
        body=right.body,
    )
    return status in _DENIED
