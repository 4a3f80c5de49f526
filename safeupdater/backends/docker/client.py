"""Calls to a Docker daemon: one negotiated API version, JSON in and out, errors by one table.

The transport is docker-py's low-level client, which knows unix sockets, named pipes, TCP, TLS and ssh. A
ready-made one can be passed in. Its knowledge of logins is not used: pulls go with ours.
"""

from __future__ import annotations

import json
import os
import re
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import attrs
import msgspec

from safeupdater.backends.docker.faults import failure, refusal
from safeupdater.backends.docker.logins import Logins, MachineLogins, pull_header
from safeupdater.errors import BackendError, ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    import docker
    import requests

Decoded = TypeVar("Decoded")
Json: TypeAlias = dict[str, Any]
Params: TypeAlias = Mapping[str, str | int]

OLDEST_API = (1, 41)
# From API 1.52 on, inspect no longer says which MAC address a user asked for, so 1.51 is the newest in use.
NEWEST_API = (1, 51)
DEFAULT_TIMEOUT_S = 30.0
_BLOCK_BYTES = 65536
_IMPLICIT_URL = "unix:///var/run/docker.sock"


@attrs.frozen
class Answer:
    """A status that the caller expected, and the body."""

    status: int
    body: bytes = b""

    def json(self) -> Any:
        """The body's JSON value; an empty object where there is none.

        Raises:
            BackendError: it is not JSON.
        """
        if not self.body.strip():
            return {}
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise BackendError(
                "what answers is not a Docker daemon (its answer is no JSON): see DOCKER_HOST and --backend",
                code="malformed_answer",
            ) from error


def connect(url: str | None = None, environment: Mapping[str, str] | None = None) -> docker.APIClient:
    """A low-level client for a URL, else for ``DOCKER_HOST``, ``DOCKER_TLS_VERIFY``, ``DOCKER_CERT_PATH``.

    Nothing is sent yet.

    Raises:
        ConfigurationError: the URL or the certificates cannot be used.
    """
    try:
        import docker
        import docker.errors
        import docker.utils
    except ImportError as error:  # pragma: no cover - docker is a declared dependency
        raise MissingExtraError("talking to Docker needs the package docker: pip install docker") from error
    given = dict(os.environ if environment is None else environment)
    if url is not None:
        given["DOCKER_HOST"] = url
    try:
        options = docker.utils.kwargs_from_env(environment=given)
        client = docker.APIClient(version=_text(OLDEST_API), **options)
    except docker.errors.DockerException as error:
        where = given.get("DOCKER_HOST") or _IMPLICIT_URL
        said = str(error).replace(where, safe_url(where))
        # The original quotes the URL, which may hold a password: it must not follow as the cause.
        raise ConfigurationError(
            f"cannot use {safe_url(where)!r} as a Docker daemon: {said}; expected unix:///path or tcp://host:port,"
            " with DOCKER_CERT_PATH naming a directory with ca.pem, cert.pem and key.pem for TLS"
        ) from None
    except (ValueError, TypeError, AttributeError, LookupError):
        # docker-py stumbles like this over the logins in the user's configuration, which it reads at once.
        raise ConfigurationError(
            "the docker configuration (config.json in DOCKER_CONFIG or ~/.docker) cannot be read: "
            "one of its logins is damaged; run `docker login` anew or remove it"
        ) from None
    # A daemon is not a web site: no proxy, no .netrc, no CA bundle meant for the web.
    client.trust_env = False
    return client


def safe_url(url: str) -> str:
    """A URL without user and password."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


class DockerApi:
    """A daemon's HTTP API. Not finding something is an answer (None); not getting one is ``BackendError``."""

    def __init__(
        self,
        client: docker.APIClient,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        logins: Logins | None = None,
    ) -> None:
        self._client = client
        self._logins = logins or MachineLogins()
        self._timeout_s = timeout_s
        self._version: tuple[int, int] | None = None
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Where the daemon is, without credentials."""
        base = str(self._client.base_url)
        if not base.startswith("http+docker://"):
            return safe_url(base)
        adapter = self._client.get_adapter(base)
        path, ssh_host = (getattr(adapter, name, None) for name in ("socket_path", "ssh_host"))
        if ssh_host:
            return safe_url(f"ssh://{ssh_host}")
        return f"unix://{path}" if path else _IMPLICIT_URL

    @property
    def written_url(self) -> str:
        """The same as people write it: docker-py makes ``http`` or ``https`` of their ``tcp``."""
        return re.sub(r"^https?://", "tcp://", self.url)

    @property
    def version(self) -> tuple[int, int]:
        """The API version in use: the newest that both sides speak, asked for once per connection."""
        if self._version is None:
            with self._lock:
                self._version = self._negotiate()
        return self._version

    def close(self) -> None:
        """Gives back connections."""
        self._client.close()

    # --- calls -------------------------------------------------------------------------------------------

    def get(self, path: str, doing: str, **params: str | int) -> Json | None:
        """An object, or None where there is no such thing."""
        answer = self.call("GET", path, doing, params=params, accept=(200, 404))
        found: Json = answer.json()
        return None if answer.status == 404 else found

    def raw(self, path: str, doing: str, **params: str | int) -> bytes:
        """The bytes of an answer, for a decoder of the caller's."""
        return self.call("GET", path, doing, params=params).body

    def call(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        params: Params | None = None,
        body: object | None = None,
        accept: tuple[int, ...] = (200, 201, 204),
        timeout_s: float | None = None,
    ) -> Answer:
        """One call; ``doing`` completes the sentence "Docker could not …".

        Raises:
            BackendError: there was no answer, or one with a status that is not in ``accept``.
        """
        response = self._send(method, path, doing, params=params, body=body, timeout_s=timeout_s)
        with response:
            answer = Answer(response.status_code, self._content(response, doing))
        if answer.status not in accept:
            raise refusal(doing, answer.status, _message(answer.body))
        return answer

    def stream(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        body: object | None = None,
        timeout_s: float | None = None,
        is_pull: bool = False,
    ) -> Iterator[bytes]:
        """The body piece by piece; ``timeout_s`` bounds the silence between two pieces.

        With ``is_pull`` an error may be a registry's.
        """
        response = self._send(
            method, path, doing, params=params, body=body, headers=headers, timeout_s=timeout_s, stream=True
        )
        with response:
            try:
                if response.status_code >= 300:
                    raise refusal(doing, response.status_code, _message(response.content), is_pull=is_pull)
                # read1 gives what is there; everything else waits until a whole block is.
                while piece := response.raw.read1(_BLOCK_BYTES):
                    yield piece
            except BackendError:
                raise
            except Exception as error:
                raise failure(doing, self.written_url, error) from error

    def status(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        version: tuple[int, int],
        params: Params | None = None,
        body: object | None = None,
    ) -> int:
        """How one call is answered, whatever the status, in a version that need not be agreed on.

        Raises:
            BackendError: there was no answer.
        """
        with self._send_once(
            method, f"/v{_text(version)}{path}", doing, params=params, body=body
        ) as response:
            return response.status_code

    def registry_header(self, registry: str) -> Mapping[str, str]:
        """The login for a pull from a registry, as a header.

        Raises:
            BackendError: there should be a login and it cannot be had.
        """
        return pull_header(self._logins, registry)

    # --- transport ---------------------------------------------------------------------------------------

    def _send(self, method: str, path: str, doing: str, **options: Any) -> requests.Response:
        """An answer to a call in the version in use; options as of ``_send_once``."""
        response = self._send_once(method, f"/v{_text(self.version)}{path}", doing, **options)
        if response.status_code == 400 and b"client version" in self._content(response, doing):
            # The daemon became another version under us; it did nothing, so asking again is safe.
            response.close()
            self._version = None
            response = self._send_once(method, f"/v{_text(self.version)}{path}", doing, **options)
        return response

    def _send_once(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        params: Params | None = None,
        body: object | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        stream: bool = False,
    ) -> requests.Response:
        query = "?" + urllib.parse.urlencode(params) if params else ""
        try:
            return self._client.request(
                method,
                f"{self._client.base_url}{path}{query}",
                data=None if body is None else json.dumps(body),
                headers={"Content-Type": "application/json", **(headers or {})},
                timeout=timeout_s or self._timeout_s,
                stream=stream,
                allow_redirects=False,
            )
        except Exception as error:
            # A daemon that went away may come back as another version.
            self._version = None
            raise failure(doing, self.written_url, error) from error

    def _content(self, response: requests.Response, doing: str) -> bytes:
        try:
            return response.content
        except Exception as error:
            raise failure(doing, self.written_url, error) from error

    def _negotiate(self) -> tuple[int, int]:
        doing = "say which version it is"
        response = self._send_once("GET", "/version", doing)
        if response.status_code != 200:
            raise refusal(doing, response.status_code, _message(response.content))
        said = Answer(response.status_code, self._content(response, doing)).json()
        if not isinstance(said, dict) or "ApiVersion" not in said:
            raise BackendError(
                f"what answers at {self.written_url} is not a Docker daemon: see DOCKER_HOST and --backend",
                code="malformed_answer",
            )
        newest = _parse(said["ApiVersion"])
        oldest = _parse(said.get("MinAPIVersion") or "1.12")
        if newest < OLDEST_API:
            raise refusal(
                doing, 400, f"client version {_text(OLDEST_API)} is too new, it speaks {_text(newest)}"
            )
        if oldest > NEWEST_API:
            raise refusal(
                doing, 400, f"client version {_text(NEWEST_API)} is too old, it wants {_text(oldest)}"
            )
        return min(newest, NEWEST_API)


def quoted(name: str) -> str:
    """A name as one segment of a path; image names keep their slashes."""
    return urllib.parse.quote(name, safe="/:@")


def decode(decoder: msgspec.json.Decoder[Decoded], body: bytes, doing: str) -> Decoded:
    """A list decoded straight into its structs.

    Raises:
        BackendError: the daemon's answer does not have the shape that the API promises.
    """
    try:
        return decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise BackendError(
            f"Docker could not {doing}: its answer breaks its own API ({error})", code="malformed_answer"
        ) from error


def _message(content: bytes) -> str:
    try:
        said = json.loads(content)
    except ValueError:
        return content[:300].decode(errors="replace")
    return str(said.get("message", said)) if isinstance(said, dict) else str(said)


def _parse(text: object) -> tuple[int, int]:
    major, _, minor = str(text).partition(".")
    if not (major.isdigit() and minor.isdigit()):
        raise BackendError(f"{str(text)[:40]!r} is not a Docker API version", code="malformed_answer")
    return int(major), int(minor)


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
