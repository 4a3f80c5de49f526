"""The wire of the daemon in memory: a transport for docker-py's client, with faults at any call."""

from __future__ import annotations

import enum
import functools
import io
import json
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import requests
import urllib3
from requests.adapters import BaseAdapter

from safeupdater.testing.fake_docker import FakeDocker, Json, Refused


class Killed(BaseException):
    """The updater was killed at this very call. Not an ``Exception``: nobody may catch it."""


class Fault(enum.Enum):
    """What happens at one call."""

    KILLED_BEFORE = "killed before it"
    KILLED_AFTER = "killed after it"
    TIMEOUT_BEFORE = "no answer, no effect"
    TIMEOUT_AFTER = "no answer, but the effect"
    RESTART_BEFORE = "daemon restart before it"
    RESTART_AFTER = "daemon restart after it"
    KILLED_AND_RESTART = "killed after it, and the daemon restarts"

    @property
    def takes_effect(self) -> bool:
        """Whether the call itself is carried out."""
        return self not in (Fault.KILLED_BEFORE, Fault.TIMEOUT_BEFORE)


Params = Mapping[str, str]
_Answer = tuple[int, Any]
_Handler = Callable[[FakeDocker, tuple[str, ...], Params, Json], _Answer]


class FakeTransport(BaseAdapter):
    """Answers requests from a ``FakeDocker``; ``faults`` maps the number of a call (from 1) to its fault.

    ``calls`` records every call as ``METHOD /path``, ``urls`` the whole of what was asked for.
    """

    def __init__(self, daemon: FakeDocker, faults: Mapping[int, Fault] | None = None) -> None:
        super().__init__()
        self.daemon = daemon
        self.faults = dict(faults or {})
        self.calls: list[str] = []
        self.urls: list[str] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """One exchange."""
        method, url = str(request.method), str(request.url)
        self.calls.append(f"{method} {_path_of(urllib.parse.urlsplit(url).path)}")
        self.urls.append(url)
        fault = self.faults.get(len(self.calls))
        if fault is Fault.RESTART_BEFORE:
            self.daemon.restart()
        if fault is Fault.KILLED_BEFORE:
            raise Killed
        answer: tuple[int, bytes] = (0, b"")
        if fault is None or fault.takes_effect:
            answer = self.answer(method, url, request.body)
        match fault:
            case Fault.KILLED_AFTER:
                raise Killed
            case Fault.KILLED_AND_RESTART:
                self.daemon.restart()
                raise Killed
            case Fault.TIMEOUT_BEFORE | Fault.TIMEOUT_AFTER:
                raise requests.exceptions.ReadTimeout("read timed out")
            case Fault.RESTART_AFTER:
                self.daemon.restart()
                raise requests.exceptions.ConnectionError("connection reset by peer")
            case _:
                return _response(request, *answer)

    def answer(self, method: str, url: str, body: str | bytes | None) -> tuple[int, bytes]:
        """The daemon's answer to a request, undisturbed: its status and its body."""
        handler, names, params = _route(method, url)
        try:
            status, content = handler(self.daemon, names, params, json.loads(body) if body else {})
        except Refused as refused:
            status, content = refused.status, {"message": refused.message}
        if isinstance(content, bytes):
            return status, content
        return status, b"" if content is None else msgspec.json.encode(content)

    def close(self) -> None:
        """Nothing is held."""


def _path_of(text: str) -> str:
    return urllib.parse.unquote(re.sub(r"^/v\d+\.\d+", "", text))


@functools.lru_cache(maxsize=4096)
def _route(method: str, url: str) -> tuple[_Handler, tuple[str, ...], Params]:
    """Who answers a request: simulations ask the same things thousands of times."""
    parts = urllib.parse.urlsplit(url)
    path = _path_of(parts.path)
    for verb, pattern, handler in _ROUTES:
        found = re.fullmatch(pattern, path) if verb == method else None
        if found is not None:
            return handler, found.groups(), dict(urllib.parse.parse_qsl(parts.query))
    return _unknown_page, (f"{method} {path}",), {}


def _response(request: requests.PreparedRequest, status: int, data: bytes) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response.url = str(request.url)
    response.request = request
    response.raw = urllib3.HTTPResponse(body=io.BytesIO(data), status=status, preload_content=False)
    return response


# --- handlers ----------------------------------------------------------------------------------------------

_OWN_NOTES = ("stopped_by_hand",)
_OWN_MOUNT_NOTES = ("asked_for", "borrowed")


def _unknown_page(_: FakeDocker, names: tuple[str, ...], __: Params, ___: Json) -> _Answer:
    return 404, {"message": f"page not found: {names[0]}"}


def _version(daemon: FakeDocker, _: tuple[str, ...], __: Params, ___: Json) -> _Answer:
    said = {"Version": "20.10.0", "ApiVersion": daemon.api_version, "MinAPIVersion": "1.12"}
    return 200, {
        **said,
        "Os": "linux",
        "Arch": daemon.architecture,
        "Components": [{"Name": name} for name in daemon.components],
    }


def _info(daemon: FakeDocker, _: tuple[str, ...], __: Params, ___: Json) -> _Answer:
    return 200, {
        "ID": daemon.daemon_id,
        "Name": daemon.host_name,
        "OSType": "linux",
        "Architecture": daemon.machine,
        "DockerRootDir": daemon.root,
        "DriverStatus": daemon.driver_status,
    }


def _list_containers(daemon: FakeDocker, _: tuple[str, ...], params: Params, __: Json) -> _Answer:
    everything = params.get("all") == "1"
    return 200, [
        _listed(daemon, c) for c in daemon.containers.values() if everything or c["State"]["Running"]
    ]


def _listed(daemon: FakeDocker, container: Json) -> Json:
    text = container["Config"]["Image"]
    named = daemon.find_image(text)
    is_named = named is not None and named["Id"] == container["Image"]
    state = container["State"]
    health = (state.get("Health") or {}).get("Status")
    return {
        "Id": container["Id"], "Names": [container["Name"]],
        "Image": text if is_named else container["Image"], "ImageID": container["Image"],
        "Labels": container["Config"].get("Labels") or {}, "Created": 1_700_000_000,
        "State": state["Status"], "Status": f"Up ({health})" if health else state["Status"],
        "HostConfig": {"NetworkMode": container["HostConfig"]["NetworkMode"]},
    }  # fmt: skip


def _list_images(daemon: FakeDocker, _: tuple[str, ...], __: Params, ___: Json) -> _Answer:
    return 200, [
        {key: image[key] for key in ("Id", "RepoTags", "RepoDigests")} for image in daemon.images.values()
    ]


def _inspect(daemon: FakeDocker, names: tuple[str, ...], _: Params, __: Json) -> _Answer:
    shown = {k: v for k, v in daemon.find(names[0]).items() if k not in _OWN_NOTES}
    shown["Mounts"] = [{k: v for k, v in m.items() if k not in _OWN_MOUNT_NOTES} for m in shown["Mounts"]]
    return 200, shown


def _create(daemon: FakeDocker, _: tuple[str, ...], params: Params, body: Json) -> _Answer:
    return 201, {"Id": daemon.create(params["name"], body), "Warnings": []}


def _start(daemon: FakeDocker, names: tuple[str, ...], _: Params, __: Json) -> _Answer:
    return (204 if daemon.start(names[0]) else 304), None


def _stop(daemon: FakeDocker, names: tuple[str, ...], params: Params, __: Json) -> _Answer:
    signal = params.get("signal", "") if daemon.speaks("1.42") else ""
    return (204 if daemon.stop(names[0], int(params.get("t", 10)), signal) else 304), None


def _kill(daemon: FakeDocker, names: tuple[str, ...], params: Params, _: Json) -> _Answer:
    daemon.kill(names[0], params["signal"])
    return 204, None


def _wait(daemon: FakeDocker, names: tuple[str, ...], _: Params, __: Json) -> _Answer:
    if daemon.find(names[0])["State"]["Running"]:
        raise requests.exceptions.ReadTimeout("it does not end")
    return 200, {"StatusCode": 143}


def _rename(daemon: FakeDocker, names: tuple[str, ...], params: Params, _: Json) -> _Answer:
    daemon.rename(names[0], params["name"])
    return 204, None


def _update(daemon: FakeDocker, names: tuple[str, ...], _: Params, body: Json) -> _Answer:
    daemon.update(names[0], body["RestartPolicy"])
    return 200, {"Warnings": None}


def _remove(daemon: FakeDocker, names: tuple[str, ...], params: Params, _: Json) -> _Answer:
    daemon.remove(names[0], with_volumes=params.get("v") == "1", force=params.get("force") == "1")
    return 204, None


def _changes(daemon: FakeDocker, names: tuple[str, ...], _: Params, __: Json) -> _Answer:
    return 200, daemon.find(names[0]).get("changes") or b"null"


def _inspect_image(daemon: FakeDocker, names: tuple[str, ...], _: Params, __: Json) -> _Answer:
    image = daemon.find_image(names[0])
    if image is None:
        raise Refused(404, f"No such image: {names[0]}")
    return 200, image


def _pull(daemon: FakeDocker, _: tuple[str, ...], params: Params, __: Json) -> _Answer:
    layer = {"status": "Downloading", "id": "layer", "progressDetail": {"current": 50, "total": 100}}
    lines: list[Json] = [{"status": "Pulling"}, layer]
    daemon.pull(params["fromImage"], params["tag"])
    lines.append({"status": f"Digest: {params['tag']}"})
    return 200, b"".join(json.dumps(line).encode() + b"\r\n" for line in lines)


def _tag(daemon: FakeDocker, names: tuple[str, ...], params: Params, _: Json) -> _Answer:
    daemon.tag(names[0], f"{params['repo']}:{params['tag']}")
    return 201, None


def _remove_image(daemon: FakeDocker, names: tuple[str, ...], _: Params, __: Json) -> _Answer:
    daemon.remove_image(names[0])
    return 200, []


def _connect(daemon: FakeDocker, names: tuple[str, ...], _: Params, body: Json) -> _Answer:
    daemon.connect(names[0], body["Container"], body.get("EndpointConfig") or {})
    return 200, None


def _disconnect(daemon: FakeDocker, names: tuple[str, ...], _: Params, body: Json) -> _Answer:
    daemon.disconnect(names[0], body["Container"])
    return 200, None


def _exec_create(daemon: FakeDocker, names: tuple[str, ...], _: Params, body: Json) -> _Answer:
    if not daemon.find(names[0])["State"]["Running"]:
        raise Refused(409, f"Container {names[0]} is not running")
    daemon.executed.append(tuple(body["Cmd"]))
    return 201, {"Id": f"exec{len(daemon.executed)}"}


def _exec_start(daemon: FakeDocker, names: tuple[str, ...], _: Params, __: Json) -> _Answer:
    output = b"".join(_frames("\n".join(daemon.executed[int(names[0]) - 1])))
    return 200, output


def _frames(text: str) -> Iterator[bytes]:
    for stream, line in enumerate(text.encode().splitlines(keepends=True)):
        yield bytes([1 + stream % 2, 0, 0, 0]) + len(line).to_bytes(4, "big") + line


def _exec_inspect(daemon: FakeDocker, names: tuple[str, ...], _: Params, __: Json) -> _Answer:
    command = daemon.executed[int(names[0]) - 1]
    return 200, {"Running": False, "ExitCode": daemon.exit_codes.get(command[0], 0)}


_ROUTES: tuple[tuple[str, str, _Handler], ...] = (
    ("GET", r"/version", _version),
    ("GET", r"/info", _info),
    ("GET", r"/containers/json", _list_containers),
    ("GET", r"/images/json", _list_images),
    ("GET", r"/containers/([^/]+)/json", _inspect),
    ("GET", r"/containers/([^/]+)/changes", _changes),
    ("POST", r"/containers/create", _create),
    ("POST", r"/containers/([^/]+)/start", _start),
    ("POST", r"/containers/([^/]+)/stop", _stop),
    ("POST", r"/containers/([^/]+)/kill", _kill),
    ("POST", r"/containers/([^/]+)/wait", _wait),
    ("POST", r"/containers/([^/]+)/rename", _rename),
    ("POST", r"/containers/([^/]+)/update", _update),
    ("DELETE", r"/containers/([^/]+)", _remove),
    ("GET", r"/images/(.+)/json", _inspect_image),
    ("POST", r"/images/create", _pull),
    ("POST", r"/images/(.+)/tag", _tag),
    ("DELETE", r"/images/(.+)", _remove_image),
    ("POST", r"/networks/([^/]+)/connect", _connect),
    ("POST", r"/networks/([^/]+)/disconnect", _disconnect),
    ("POST", r"/containers/([^/]+)/exec", _exec_create),
    ("POST", r"/exec/exec(\d+)/start", _exec_start),
    ("GET", r"/exec/exec(\d+)/json", _exec_inspect),
)
