"""The calls that steps are made of, each by its name in Docker's own words."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping

from safeupdater.backends.docker.client import Answer, DockerApi, Json, decode, quoted
from safeupdater.backends.docker.wire import CONTAINERS, ListedContainer
from safeupdater.domain.platform import Platform
from safeupdater.errors import BackendError

_STOP_MARGIN_S = 15.0
_ANY_TIME_S = 3600.0
_STOPS_BY_SIGNAL = (1, 42)
_MAX_OUTPUT = 8192


def stop_time_s(grace_s: int) -> float:
    """How long a stop may take with a grace; a negative one is Docker's word for any time at all."""
    return (grace_s if grace_s >= 0 else _ANY_TIME_S) + _STOP_MARGIN_S


class Daemon:
    """One daemon, within the deadline of one step. What is not there is None; no answer raises."""

    def __init__(self, api: DockerApi, deadline_s: float = 60.0) -> None:
        self.api = api
        self._deadline_s = deadline_s

    # --- reading -----------------------------------------------------------------------------------------

    def containers(self) -> list[ListedContainer]:
        """Every container, stopped ones too."""
        doing = "list containers"
        return decode(CONTAINERS, self.api.raw("/containers/json", doing, all=1), doing)

    def inspect(self, name_or_id: str) -> Json | None:
        """A container in full."""
        return self.api.get(f"/containers/{quoted(name_or_id)}/json", f"inspect {name_or_id}")

    def inspect_image(self, reference: str) -> Json | None:
        """An image in full, by id or any reference."""
        return self.api.get(f"/images/{quoted(reference)}/json", f"inspect image {reference}")

    def changed_files(self, name_or_id: str) -> list[Json]:
        """What a container wrote into its own layer: entries with ``Path`` and ``Kind``."""
        doing = f"compare {name_or_id} with its image"
        path = f"/containers/{quoted(name_or_id)}/changes"
        entries: list[Json] | None = self.api.call("GET", path, doing).json()
        return entries or []

    # --- containers --------------------------------------------------------------------------------------

    def create(self, name: str, body: Json, platform: Platform | None = None) -> None:
        """Creates a container, stopped. That the name is taken is an error of the code ``conflict``."""
        params = {"name": name} | ({"platform": str(platform)} if platform else {})
        self._post("/containers/create", f"create {name}", params=params, body=body, accept=(201,))

    def start(self, container_id: str) -> None:
        """Starts a container; one that runs stays as it is."""
        self._post(f"/containers/{container_id}/start", f"start {container_id[:12]}", accept=(204, 304))

    def stop(self, container_id: str, grace_s: int, signal: str = "") -> None:
        """Stops a container by its own signal (or another one), and kills it after a grace.

        The container's grace goes before the step's deadline: a database that is killed early is worse
        than a step that takes long. A negative grace is Docker's word for any time at all.
        """
        params: dict[str, str | int] = {"t": grace_s}
        if signal and self.api.version >= _STOPS_BY_SIGNAL:
            params["signal"] = signal
        elif signal:
            self._end_by(container_id, signal, grace_s)
            params["t"] = 0
        self._post(
            f"/containers/{container_id}/stop",
            f"stop {container_id[:12]}",
            params=params,
            accept=(204, 304, 404),
            timeout_s=max(self._deadline_s, stop_time_s(grace_s)),
        )

    def _end_by(self, container_id: str, signal: str, grace_s: int) -> None:
        """Sends a signal and waits for the end or the grace: before API 1.42 a stop takes no signal."""
        doing = f"send {signal} to {container_id[:12]}"
        path = f"/containers/{container_id}"
        self._post(f"{path}/kill", doing, params={"signal": signal}, accept=(204, 404, 409))
        try:
            timeout_s = max(1.0, grace_s if grace_s >= 0 else _ANY_TIME_S)
            self.api.call("POST", f"{path}/wait", doing, accept=(200, 404), timeout_s=timeout_s)
        except BackendError as error:
            if error.code != "daemon_timeout":
                raise

    def rename(self, container_id: str, name: str) -> None:
        """Gives a container a name. That it is taken is an error of the code ``conflict``."""
        doing = f"rename {container_id[:12]} to {name}"
        self._post(f"/containers/{container_id}/rename", doing, params={"name": name}, accept=(204,))

    def set_restart_policy(self, container_id: str, policy: Json) -> None:
        """Says what the daemon does when a container ends."""
        doing = f"set the restart policy of {container_id[:12]}"
        self._post(f"/containers/{container_id}/update", doing, body={"RestartPolicy": policy})

    def remove(self, container_id: str, *, with_volumes: bool = False) -> None:
        """Removes a stopped container; that it is already going or gone is fine."""
        self.api.call(
            "DELETE",
            f"/containers/{container_id}",
            f"remove {container_id[:12]}",
            params={"v": int(with_volumes)},
            accept=(204, 404),
            timeout_s=self._deadline_s,
        )

    def attach(self, network: str, container_id: str, settings: Json) -> None:
        """Attaches a container to a network."""
        body = {"Container": container_id, "EndpointConfig": settings}
        doing = f"attach {container_id[:12]} to the network {network}"
        self._post(f"/networks/{quoted(network)}/connect", doing, body=body)

    def detach(self, network: str, container_id: str) -> None:
        """Takes a container off a network."""
        doing = f"detach {container_id[:12]} from the network {network}"
        body = {"Container": container_id, "Force": False}
        self._post(f"/networks/{quoted(network)}/disconnect", doing, body=body)

    # --- images ------------------------------------------------------------------------------------------

    def pull(self, name: str, digest: str, platform: Platform | None) -> Iterator[Json]:
        """Pulls an image by digest; gives the daemon's progress messages, errors among them."""
        params = {"fromImage": name, "tag": digest} | ({"platform": str(platform)} if platform else {})
        pieces = self.api.stream(
            "POST",
            "/images/create",
            f"pull {name}@{digest}",
            params=params,
            headers=self.api.registry_header(name.partition("/")[0]),
            timeout_s=self._deadline_s,
            is_pull=True,
        )
        yield from _json_lines(pieces)

    def tag(self, image: str, reference: str) -> None:
        """Gives an image one more name (``repository:tag``), which another image may lose by it."""
        repository, _, tag = reference.rpartition(":")
        self._post(
            f"/images/{quoted(image)}/tag",
            f"tag {image} as {reference}",
            params={"repo": repository, "tag": tag},
            accept=(201,),
        )

    def remove_image(self, reference: str) -> bool:
        """Takes a name from an image, and the image away with its last one. False where it is in use."""
        answer = self.api.call(
            "DELETE", f"/images/{quoted(reference)}", f"remove image {reference}", accept=(200, 404, 409)
        )
        return answer.status != 409

    # --- commands ----------------------------------------------------------------------------------------

    def execute(self, container_id: str, argv: list[str], timeout_s: float) -> tuple[int | None, bytes]:
        """Runs a command in a container: its exit code (None while it still runs) and its output."""
        doing = f"run {argv[0] if argv else 'a command'} in {container_id[:12]}"
        body = {"AttachStdout": True, "AttachStderr": True, "Cmd": argv}
        created = self._post(f"/containers/{container_id}/exec", doing, body=body, accept=(201,)).json()
        pieces = self.api.stream(
            "POST",
            f"/exec/{created['Id']}/start",
            doing,
            body={"Detach": False, "Tty": False},
            timeout_s=timeout_s,
        )
        output = _read_frames(pieces, time.monotonic() + timeout_s)
        ended = self.api.get(f"/exec/{created['Id']}/json", doing) or {}
        return (None if ended.get("Running") else ended.get("ExitCode")), output

    def _post(
        self,
        path: str,
        doing: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Json | None = None,
        accept: tuple[int, ...] = (200,),
        timeout_s: float | None = None,
    ) -> Answer:
        return self.api.call(
            "POST",
            path,
            doing,
            params=params,
            body=body,
            accept=accept,
            timeout_s=timeout_s or self._deadline_s,
        )


def _json_lines(pieces: Iterator[bytes]) -> Iterator[Json]:
    """The objects of a stream, which come one per line and are cut anywhere."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (json.loads(line) for line in lines if line.strip())
    if rest.strip():
        yield json.loads(rest)


def _read_frames(pieces: Iterator[bytes], deadline: float) -> bytes:
    """What a command wrote to both of its outputs until it ended or its time was up, cut to the limit.

    Each frame is eight bytes, of which the last four are its length, and that many bytes of output.
    """
    raw, output = b"", b""
    try:
        for piece in pieces:
            raw += piece
            while len(raw) >= 8 and len(raw) >= 8 + int.from_bytes(raw[4:8], "big"):
                end = 8 + int.from_bytes(raw[4:8], "big")
                output, raw = (output + raw[8:end])[:_MAX_OUTPUT], raw[end:]
            if time.monotonic() > deadline:
                break
    except BackendError as error:
        if error.code != "daemon_timeout":
            raise
    return output
