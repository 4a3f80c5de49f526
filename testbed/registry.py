"""A real OCI registry (Debian's ``docker-registry``) on loopback, with images pushed by plain HTTP."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from testbed.processes import (
    LOOPBACK,
    Server,
    Unavailable,
    answers_http,
    find_program,
    free_port,
    server_directory,
)

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Registry:
    """A registry of its own on a free loopback port, gone with its data when the block ends.

    ``htpasswd`` is the text of an htpasswd file (bcrypt); with it the registry asks for Basic auth, and
    ``login`` (user, password) is what pushes use.
    """

    def __init__(self, htpasswd: str | None = None, *, login: tuple[str, str] | None = None) -> None:
        self._htpasswd, self._login = htpasswd, login
        self._stack = contextlib.ExitStack()
        self.port = 0

    @property
    def host(self) -> str:
        """What stands before the repository in an image name."""
        return f"{LOOPBACK}:{self.port}"

    address = host

    @property
    def url(self) -> str:
        """The root of its API."""
        return f"http://{self.host}"

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            program = _program()
            directory = stack.enter_context(server_directory("registry"))
            self.port = free_port()
            config = directory / "config.yml"
            config.write_text(self._config(directory))
            server = Server(
                argv=[program, "serve", config], log=directory / "log",
                ready=lambda: answers_http(self.port, "/v2/"), env={"OTEL_TRACES_EXPORTER": "none"},
            )  # fmt: skip
            stack.enter_context(server)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def push_image(
        self,
        repository: str,
        tag: str,
        *,
        platforms: tuple[str, ...] = ("linux/amd64",),
        created: str = "2026-01-02T03:04:05.123456789Z",
        labels: Mapping[str, str] | None = None,
        marker: str = "",
    ) -> str:
        """Pushes an image, an index where there are several platforms; the digest of what the tag names.

        ``marker`` makes otherwise equal images differ.
        """
        pushed = [
            self._push_manifest(repository, platform, created, dict(labels or {}), marker or tag)
            for platform in platforms
        ]
        if len(pushed) == 1:
            return self.put_manifest(repository, tag, pushed[0][1], OCI_MANIFEST)
        entries = [
            {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(body), "platform": _platform(platform)}
            for platform, (digest, body) in zip(platforms, pushed, strict=True)
        ]
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        return self.put_manifest(repository, tag, json.dumps(index).encode(), OCI_INDEX)

    def put_blob(self, repository: str, data: bytes) -> str:
        """Uploads a blob; its digest."""
        digest = _digest(data)
        _, headers, _ = self.request("POST", f"/v2/{repository}/blobs/uploads/")
        location = headers["Location"]
        url = location if location.startswith("http") else self.url + location
        joiner = "&" if "?" in url else "?"
        self.request("PUT", f"{url}{joiner}digest={digest}", data, "application/octet-stream")
        return digest

    def put_manifest(self, repository: str, reference: str, body: bytes, media_type: str) -> str:
        """Uploads a manifest or index under a tag or digest; its digest."""
        self.request("PUT", f"/v2/{repository}/manifests/{reference}", body, media_type)
        return _digest(body)

    def delete_layers(self, repository: str, digest: str) -> None:
        """Loses the layers of an image that Docker pushed: it is listed still, and cannot be pulled."""
        _, _, body = self.request("GET", f"/v2/{repository}/manifests/{digest}", accept=DOCKER_MANIFEST)
        for layer in json.loads(body)["layers"]:
            self.request("DELETE", f"/v2/{repository}/blobs/{layer['digest']}")

    def request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        content_type: str | None = None,
        *,
        accept: str = "*/*",
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One request with the registry's login.

        Raises:
            urllib.error.HTTPError: the registry refused it.
        """
        url = target if target.startswith("http") else self.url + target
        request = urllib.request.Request(url, data=body, method=method, headers={"Accept": accept})
        if content_type:
            request.add_header("Content-Type", content_type)
        if self._login:
            pair = base64.b64encode(":".join(self._login).encode()).decode()
            request.add_header("Authorization", f"Basic {pair}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as response:
            return response.status, response.headers, response.read()

    def _push_manifest(
        self, repository: str, platform: str, created: str, labels: dict[str, str], marker: str
    ) -> tuple[str, bytes]:
        layer = hashlib.sha256(f"{platform} {marker}".encode()).digest()
        config: dict[str, Any] = {
            **_platform(platform), "created": created, "config": {"Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }  # fmt: skip
        raw = json.dumps(config).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": self.put_blob(repository, raw), "size": len(raw)},
            "layers": [
                {
                    "mediaType": "application/vnd.oci.image.layer.v1.tar",
                    "digest": self.put_blob(repository, layer),
                    "size": len(layer),
                }
            ],
        }
        body = json.dumps(manifest).encode()
        return self.put_manifest(repository, _digest(body), body, OCI_MANIFEST), body

    def _config(self, directory: Path) -> str:
        auth = ""
        if self._htpasswd is not None:
            users = directory / "htpasswd"
            users.write_text(self._htpasswd)
            auth = f"auth: {{htpasswd: {{realm: testbed, path: {users}}}}}\n"
        return (
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {directory / 'data'}}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '{self.host}'}}\n{auth}"
        )


def _program() -> Path:
    try:
        return find_program("docker-registry", package="docker-registry")
    except Unavailable:
        return find_program("registry", package="docker-registry")


def _platform(text: str) -> dict[str, str]:
    return dict(zip(("os", "architecture", "variant"), text.split("/"), strict=False))


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
