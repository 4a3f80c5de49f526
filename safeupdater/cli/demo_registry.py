"""The demonstration's registry: what pulling needs of OCI distribution 1.1, from memory."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from safeupdater.cli.demo_images import Image, digest_of

_PATH = re.compile(r"/v2/(?P<name>[a-z0-9/-]+)/(?P<kind>manifests|blobs|tags)/(?P<reference>[\w.:-]+)")


class DemoRegistry:
    """Images by repository and tag; ``address`` is ``host:port``."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self._images: dict[str, dict[str, Image]] = {}

    def publish(self, repository: str, tag: str, image: Image) -> str:
        """Serves an image under a tag, and gives the reference to it."""
        self._images.setdefault(repository, {})[tag] = image
        return f"{self.address}/{repository}:{tag}"

    def answer(self, path: str) -> tuple[str, bytes] | None:
        """The media type and the body for a path; None where there is nothing."""
        if path.rstrip("/") == "/v2":
            return "application/json", b"{}"
        found = _PATH.fullmatch(path.partition("?")[0])
        tags = self._images.get(found["name"]) if found else None
        if found is None or tags is None:
            return None
        return _ANSWERS[found["kind"]](found["name"], tags, found["reference"])


def _manifest(name: str, tags: dict[str, Image], reference: str) -> tuple[str, bytes] | None:
    for tag, image in tags.items():
        if reference in (tag, image.digest):
            return image.media_type, image.manifest
    return None


def _blob(name: str, tags: dict[str, Image], reference: str) -> tuple[str, bytes] | None:
    for image in tags.values():
        if reference in image.blobs:
            return "application/octet-stream", image.blobs[reference]
    return None


def _tags(name: str, tags: dict[str, Image], reference: str) -> tuple[str, bytes] | None:
    if reference != "list":
        return None
    return "application/json", json.dumps({"name": name, "tags": sorted(tags)}).encode()


_ANSWERS = {"manifests": _manifest, "blobs": _blob, "tags": _tags}


@contextmanager
def serving() -> Iterator[DemoRegistry]:
    """A registry on a free port of loopback, for as long as the body runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    registry = DemoRegistry(server.server_port)
    server.registry = registry  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        self._reply(with_body=True)

    def do_HEAD(self) -> None:
        self._reply(with_body=False)

    def _reply(self, *, with_body: bool) -> None:
        registry: DemoRegistry = self.server.registry  # type: ignore[attr-defined]
        found = registry.answer(self.path)
        media_type, body = found or ("application/json", b'{"errors":[{"code":"NAME_UNKNOWN"}]}')
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Content-Digest", digest_of(body))
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: stderr is for people."""
