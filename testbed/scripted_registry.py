"""A registry that does as it is told: pages, asks for Bearer tokens, limits, lies and misbehaves.

It answers properly by itself; *filters* (functions from an exchange and the proper reply to another reply)
turn it into any particular registry, or a hostile one. ``LoopbackNetwork`` lends it any host name and
address, so that rules about public and forbidden addresses are tested without leaving loopback.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import attrs

from testbed.processes import LOOPBACK

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@attrs.frozen(kw_only=True)
class Exchange:
    """A request as it arrived. ``kind`` is tags, manifest, blob, token, base or other."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path without the query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The last value of each query parameter."""
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def kind(self) -> str:
        """What is asked for."""
        for part, kind in (("/tags/list", "tags"), ("/manifests/", "manifest"), ("/blobs/", "blob")):
            if part in self.path:
                return kind
        return {"/token": "token", "/v2/": "base"}.get(self.path, "other")

    @property
    def repository(self) -> str:
        """The repository in the path."""
        name = self.path.removeprefix("/v2/")
        return name.partition("/tags/")[0].partition("/manifests/")[0].partition("/blobs/")[0]

    @property
    def authorization(self) -> str:
        """The Authorization header, empty where there is none."""
        return self.headers.get("authorization", "")


Writer = Callable[["Wire"], None]


@attrs.frozen(kw_only=True)
class Reply:
    """What to answer. ``writer`` takes the place of everything else and writes what it wants."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    writer: Writer | None = None

    def with_header(self, name: str, value: str | None) -> Reply:
        """With this header instead of its earlier values; without it for None."""
        others = tuple(pair for pair in self.headers if pair[0].lower() != name.lower())
        return attrs.evolve(self, headers=others if value is None else (*others, (name, value)))


Filter = Callable[[Exchange, Reply], Reply]


@attrs.frozen
class Wire:
    """The raw connection, for replies that no HTTP server would write."""

    write: Callable[[bytes], None]
    stopping: threading.Event

    def drip(self, first: bytes, piece: bytes, every_s: float) -> None:
        """Writes, then goes on writing a piece at a time until the other side has enough."""
        with contextlib.suppress(OSError):
            self.write(first)
            while not self.stopping.wait(every_s):
                self.write(piece)


@attrs.frozen(kw_only=True)
class Bearer:
    """Asks for tokens of the right scope. ``users`` None lets anybody have one."""

    realm: str | None = None
    service: str = "scripted"
    users: Mapping[str, str] | None = None
    token_field: str = "token"
    expires_in: object = 300


@attrs.frozen
class Basic:
    """Asks for a user and a password."""

    users: Mapping[str, str]


@attrs.define
class Repository:
    """What one repository serves: tags in order, documents by tag and digest, blobs by digest."""

    tags: list[str] = attrs.field(factory=list)
    documents: dict[str, tuple[str, bytes]] = attrs.field(factory=dict)
    blobs: dict[str, bytes] = attrs.field(factory=dict)

    def add_image(
        self, tag: str, *, created: str = "2026-01-02T03:04:05Z", platform: str = "linux/amd64"
    ) -> str:
        """Adds a tag with a manifest and a config; its digest."""
        os, architecture = platform.split("/")
        config = json.dumps({"os": os, "architecture": architecture, "created": created, "tag": tag}).encode()
        self.blobs[digest_of(config)] = config
        described = {"digest": digest_of(config), "size": len(config), "mediaType": "application/json"}
        body = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": []})
        return self.add_document(tag, OCI_MANIFEST, body.encode())

    def add_document(self, tag: str | None, media_type: str, body: bytes) -> str:
        """Adds a manifest or index, listed under its tag; its digest."""
        digest = digest_of(body)
        self.documents[digest] = (media_type, body)
        if tag is not None:
            self.documents[tag] = (media_type, body)
            self.tags.append(tag)
        return digest


class ScriptedRegistry:
    """The server; use it as a context manager. Every exchange is kept in ``seen``."""

    def __init__(
        self,
        *filters: Filter,
        auth: Basic | Bearer | None = None,
        page_size: int | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.filters = list(filters)
        self.auth, self.page_size, self._tls = auth, page_size, tls
        self.repositories: dict[str, Repository] = {}
        self.seen: list[Exchange] = []
        self.connections = 0
        self._stopping = threading.Event()
        self._server: ThreadingHTTPServer | None = None

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        assert self._server is not None, "use it as a context manager"
        return int(self._server.server_address[1])

    @property
    def host(self) -> str:
        """What stands before the repository in an image name."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """The root of its API."""
        return f"{'https' if self._tls else 'http'}://{self.host}"

    def repository(self, name: str, tags: Iterable[str] = ()) -> Repository:
        """A repository by name, made when it is new, with an image for each tag."""
        repository = self.repositories.setdefault(name, Repository())
        for tag in tags:
            repository.add_image(tag)
        return repository

    def asked(self, kind: str) -> list[Exchange]:
        """The exchanges of one kind."""
        return [exchange for exchange in self.seen if exchange.kind == kind]

    def answer(self, exchange: Exchange) -> Reply:
        """The reply to a request, all filters applied in order."""
        self.seen.append(exchange)
        reply = self._proper_answer(exchange)
        for change in self.filters:
            reply = change(exchange, reply)
        return reply

    def _proper_answer(self, exchange: Exchange) -> Reply:
        if exchange.kind == "token" and isinstance(self.auth, Bearer):
            return self._token(exchange, self.auth)
        if not self._is_allowed(exchange):
            return _error(401, "UNAUTHORIZED").with_header("WWW-Authenticate", self._challenge(exchange))
        repository = self.repositories.get(exchange.repository)
        if exchange.kind == "base":
            return Reply(body=b"{}")
        if repository is None:
            return _error(404, "NAME_UNKNOWN")
        serve = {"tags": self._tags, "manifest": self._manifest, "blob": self._blob}.get(exchange.kind)
        return _error(404, "UNSUPPORTED") if serve is None else serve(exchange, repository)

    def _tags(self, exchange: Exchange, repository: Repository) -> Reply:
        wanted = int(exchange.query.get("n", "0") or 0)
        size = min(filter(None, (self.page_size, wanted)), default=0) if self.page_size else 0
        begin = int(exchange.query.get("cursor", "c0")[1:])
        page = repository.tags[begin : begin + size] if size else repository.tags
        reply = _json({"name": exchange.repository, "tags": page})
        if size and begin + size < len(repository.tags):
            link = f'</v2/{exchange.repository}/tags/list?n={size}&cursor=c{begin + size}>; rel="next"'
            reply = reply.with_header("Link", link)
        return reply

    def _manifest(self, exchange: Exchange, repository: Repository) -> Reply:
        found = repository.documents.get(exchange.path.rpartition("/")[2])
        if found is None:
            return _error(404, "MANIFEST_UNKNOWN")
        media_type, body = found
        headers = (("Content-Type", media_type), ("Docker-Content-Digest", digest_of(body)))
        return Reply(headers=headers, body=body)

    def _blob(self, exchange: Exchange, repository: Repository) -> Reply:
        body = repository.blobs.get(exchange.path.rpartition("/")[2])
        return _error(404, "BLOB_UNKNOWN") if body is None else Reply(body=body)

    def _challenge(self, exchange: Exchange) -> str:
        if isinstance(self.auth, Basic):
            return 'Basic realm="scripted registry"'
        assert self.auth is not None
        realm = self.auth.realm or f"{self.url}/token"
        scope = f"repository:{exchange.repository}:pull"
        return f'Bearer realm="{realm}",service="{self.auth.service}",scope="{scope}"'

    def _is_allowed(self, exchange: Exchange) -> bool:
        if self.auth is None:
            return True
        scheme, _, value = exchange.authorization.partition(" ")
        if isinstance(self.auth, Basic):
            return scheme == "Basic" and _is_user(value, self.auth.users)
        return scheme == "Bearer" and value == token_for(exchange.repository)

    def _token(self, exchange: Exchange, auth: Bearer) -> Reply:
        if auth.users is not None and not _is_user(exchange.authorization.partition(" ")[2], auth.users):
            return _error(401, "UNAUTHORIZED")
        form = {name: values[-1] for name, values in parse_qs(exchange.body.decode()).items()}
        scope = form.get("scope") or exchange.query.get("scope", "")
        token = token_for(scope.removeprefix("repository:").removesuffix(":pull"))
        return _json({auth.token_field: token, "expires_in": auth.expires_in})

    def __enter__(self) -> Self:
        self._server = _Server((LOOPBACK, 0), _handler(self))
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    @property
    def stopping(self) -> threading.Event:
        """Set when the server ends, so that endless replies end too."""
        return self._stopping


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up on a hostile server is what is wanted."""


def _handler(registry: ScriptedRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10
        disable_nagle_algorithm = True

        def setup(self) -> None:
            registry.connections += 1
            super().setup()

        def do_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = registry.answer(
                Exchange(method=self.command, target=self.path, headers=headers, body=body)
            )
            if reply.writer is not None:
                self.close_connection = True
                reply.writer(Wire(self._write_now, registry.stopping))
                return
            self._write(reply)

        def _write(self, reply: Reply) -> None:
            self.send_response_only(reply.status)  # no Date, unless the script says one
            names = {name.lower() for name, _ in reply.headers}
            for name, value in reply.headers:
                self.send_header(name, value)
            if not names & {"content-length", "transfer-encoding"}:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        def _write_now(self, data: bytes) -> None:
            self.wfile.write(data)
            self.wfile.flush()

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing: the exchanges are kept instead."""

    for method in ("GET", "HEAD", "POST"):
        setattr(Handler, f"do_{method}", Handler.do_any)
    return Handler


@attrs.define
class LoopbackNetwork:
    """A network of made-up hosts and addresses behind which scripted registries listen on loopback.

    ``names`` gives the addresses of a host (each call takes the next list of several, the last for ever),
    ``servers`` the loopback port behind (address, port). Every attempt to connect is in ``attempts``.
    """

    names: dict[str, list[list[str]]] = attrs.field(factory=dict)
    servers: dict[tuple[str, int], int] = attrs.field(factory=dict)
    attempts: list[tuple[str, int]] = attrs.field(factory=list)

    def host(self, name: str, address: str, server: ScriptedRegistry, port: int = 443) -> None:
        """Puts a server behind a name and an address."""
        self.names[name] = [[address]]
        self.servers[address, port] = server.port

    def resolve(self, host: str, port: int) -> list[str]:
        """The made-up addresses of a name; an address is itself, as for the system's resolver."""
        answers = self.names.get(host)
        if answers is None:
            found = socket.getaddrinfo(host.strip("[]"), port, flags=socket.AI_NUMERICHOST)
            return [str(entry[4][0]) for entry in found[:1]]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
        """A connection to what listens behind a made-up address; loopback is itself."""
        self.attempts.append((address, port))
        real = self.servers.get((address, port), port if address == LOOPBACK else None)
        if real is None:
            raise ConnectionRefusedError(111, "nobody is there")
        return socket.create_connection((LOOPBACK, real), timeout_s)


def token_for(repository: str) -> str:
    """The token that opens one repository."""
    return "token-" + hashlib.sha256(repository.encode()).hexdigest()


def digest_of(body: bytes) -> str:
    """The sha256 digest of a body."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _json(value: object) -> Reply:
    return Reply(headers=(("Content-Type", "application/json"),), body=json.dumps(value).encode())


def _error(status: int, code: str) -> Reply:
    body = _json({"errors": [{"code": code, "message": "scripted"}]})
    return attrs.evolve(body, status=status)


def _is_user(encoded: str, users: Mapping[str, str]) -> bool:
    with contextlib.suppress(ValueError):
        user, _, password = base64.b64decode(encoded).decode().partition(":")
        return users.get(user) == password
    return False
