"""The http probe against real servers on loopback: friendly, broken and hostile ones."""

from __future__ import annotations

import datetime
import gzip
import ipaddress
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from safeupdater.domain.health import Sample, SampleStatus
from safeupdater.errors import BackendError, ConfigurationError
from safeupdater.probes import HealthCheckFactory
from safeupdater.protocols import ExecResult, PathCheck

OK, FAILED, VOID = SampleStatus.OK, SampleStatus.FAILED, SampleStatus.VOID
FACTORY = HealthCheckFactory(plugins=False)
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Script = Callable[[socket.socket], None]


class Server:
    """Does with every connection what a script says; keeps what the clients sent."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self._script, self._tls = script, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def address(self, port: int | None) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def execute(self, argv: object, timeout_s: float) -> ExecResult:
        raise AssertionError("no http probe runs commands")

    def close(self) -> None:
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            try:
                with self._tls.wrap_socket(connection, server_side=True) if self._tls else connection as held:
                    held.settimeout(5)
                    self.requests.append(_head(held))
                    self._script(held)
            except OSError:
                pass  # the probe hung up, which many scripts provoke


def _head(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        if not (more := connection.recv(4096)):
            break
        head += more
    return head


class Elsewhere:
    """A target at some other address."""

    def __init__(self, where: tuple[str, int] | None) -> None:
        self._where = where

    def address(self, port: int | None) -> tuple[str, int] | None:
        return self._where

    def execute(self, argv: object, timeout_s: float) -> ExecResult:
        raise AssertionError("no http probe runs commands")


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(answer: bytes | Script, tls: ssl.SSLContext | None = None) -> Server:
        script = (lambda connection: connection.sendall(answer)) if isinstance(answer, bytes) else answer
        servers.append(Server(script, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def probe(target: object, timeout_s: float = 2.0, **options: object) -> Sample:
    return FACTORY.create("http", **options).check(target, timeout_s)  # type: ignore[arg-type]


def answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


# --- what a status means ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expect", "sample"),
    [
        (200, None, OK),
        (204, None, OK),
        (299, None, OK),
        (199, None, FAILED),
        (301, None, FAILED),
        (304, None, FAILED),
        (401, None, FAILED),
        (404, None, FAILED),
        (500, None, FAILED),
        (503, None, FAILED),
        (302, "200-399", OK),
        (400, "200-399", FAILED),
        (401, [200, 401], OK),
        (401, "200, 401", OK),
        (200, 204, FAILED),
    ],
)
def test_the_status_decides(
    serve: Callable[..., Server], status: int, expect: object, sample: object
) -> None:
    options = {} if expect is None else {"expect": expect}

    assert probe(serve(answer(status)), **options).status is sample


def test_the_request_is_plain_and_uncached(serve: Callable[..., Server]) -> None:
    server = serve(GOOD)

    probe(server, path="/ready?deep=1", headers={"X-Probe": "yes"}, host="shop.example")

    lines = server.requests[0].decode().split("\r\n")
    assert lines[0] == "GET /ready?deep=1 HTTP/1.1"
    assert set(lines[1:-2]) == {
        "Host: shop.example",
        "User-Agent: safeupdater-probe",
        "Accept: */*",
        "Accept-Encoding: identity",
        "Cache-Control: no-cache",
        "Connection: close",
        "X-Probe: yes",
    }


def test_the_defaults_ask_for_health_at_the_targets_own_address(serve: Callable[..., Server]) -> None:
    server = serve(GOOD)

    assert probe(server) == Sample(OK, pytest.approx(time.monotonic(), abs=2.0), "HTTP 200")
    assert server.requests[0].startswith(b"GET /health HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{server.port}\r\n".encode() in server.requests[0]


def test_head_wants_no_body(serve: Callable[..., Server]) -> None:
    server = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")

    assert probe(server, method="HEAD").status is OK
    assert server.requests[0].startswith(b"HEAD /health ")


# --- failed: the other side did not answer well -----------------------------------------------------------


def test_a_refused_connection_is_failed() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        sample = probe(Elsewhere(("127.0.0.1", bound.getsockname()[1])))

    assert (sample.status, sample.detail) == (FAILED, "connection failed (ECONNREFUSED)")


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"hello\r\n",
        b"HTTP/1.1 099 Odd\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 2OO OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"\x00" * 1000,
        b"\x16\x03\x01\x02\x00",
    ],
)
def test_what_is_not_a_whole_http_answer_is_failed(serve: Callable[..., Server], reply: bytes) -> None:
    assert probe(serve(reply)).status is FAILED


def test_f5_a_server_that_says_nothing_fails_at_the_deadline(serve: Callable[..., Server]) -> None:
    began = time.monotonic()

    sample = probe(serve(lambda held: held.recv(1)), timeout_s=0.3)

    assert (sample.status, sample.detail) == (FAILED, "no complete answer before the deadline")
    assert 0.25 < time.monotonic() - began < 1.0


@pytest.mark.parametrize("prologue", [b"", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["head", "body"])
def test_f5_a_server_that_drips_fails_at_the_deadline(serve: Callable[..., Server], prologue: bytes) -> None:
    def drip(held: socket.socket) -> None:
        held.sendall(prologue)
        for _ in range(200):
            held.sendall(b"x")
            time.sleep(0.05)

    began = time.monotonic()

    assert probe(serve(drip), timeout_s=0.4).status is FAILED
    assert time.monotonic() - began < 1.0


def test_the_option_timeout_is_kept_where_it_is_shorter(serve: Callable[..., Server]) -> None:
    began = time.monotonic()

    assert probe(serve(lambda held: held.recv(1)), timeout_s=30.0, timeout="200ms").status is FAILED
    assert time.monotonic() - began < 1.0


def _endless(held: socket.socket, prologue: bytes, piece: bytes, counted: list[int]) -> None:
    held.sendall(prologue)
    while True:
        counted.append(held.send(piece))


@pytest.mark.parametrize(
    ("prologue", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"a" * 50 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"a" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 1000),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", b"a" * 1000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3e8\r\n" + b"a" * 1000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 1000 + b"\r\na\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: " + b"a" * 1000 + b"\r\n"),
    ],
    ids=[
        "headers", "header", "continue", "stream", "announced", "chunked", "chunk extensions", "trailers",
    ],
)  # fmt: skip
def test_f5_an_endless_answer_is_failed_by_its_size(
    serve: Callable[..., Server], prologue: bytes, piece: bytes
) -> None:
    counted: list[int] = []
    began = time.monotonic()

    sample = probe(serve(lambda held: _endless(held, prologue, piece, counted)), timeout_s=10.0)

    assert sample.status is FAILED
    assert time.monotonic() - began < 5.0, "the size must end it, not the deadline"
    assert sum(counted) < 16_000_000, "what was sent beyond the limit lies in socket buffers"


def test_f5_ten_thousand_headers_are_failed(serve: Callable[..., Server]) -> None:
    headers = b"".join(b"X-%d: 1\r\n" % number for number in range(10_000))

    assert probe(serve(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n")).status is FAILED


@pytest.mark.parametrize(("size", "status"), [(65_536, OK), (65_537, FAILED)])
@pytest.mark.parametrize("announced", [True, False])
def test_f5_a_body_may_have_64_kib_and_no_more(
    serve: Callable[..., Server], size: int, status: SampleStatus, announced: bool
) -> None:
    length = b"Content-Length: %d\r\n" % size if announced else b""

    sample = probe(serve(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n" + b"a" * size))

    assert sample.status is status
    assert status is OK or "64 KiB" in sample.detail


def test_f5_a_body_announced_as_too_large_is_not_waited_for(serve: Callable[..., Server]) -> None:
    def announce(held: socket.socket) -> None:
        held.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n")
        held.recv(1)

    sample = probe(serve(announce), timeout_s=5.0)

    assert sample.status is FAILED
    assert "64 KiB" in sample.detail


def test_f5_a_compressed_body_is_never_unpacked(serve: Callable[..., Server]) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)

    assert probe(serve(answer(200, bomb, "Content-Encoding: gzip"))).status is FAILED


# --- redirects (F2) ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("expect", ["200-299", "200-399"])
def test_f2_a_redirect_is_never_followed(serve: Callable[..., Server], status: int, expect: str) -> None:
    bait = serve(GOOD)
    server = serve(answer(status, b"", f"Location: http://127.0.0.1:{bait.port}/health"))

    sample = probe(server, expect=expect)

    assert sample.status is (FAILED if expect == "200-299" else OK)
    assert bait.requests == []
    assert len(server.requests) == 1


# --- the body (F6) ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "options", "status"),
    [
        (b'{"status":"down"}', {}, OK),
        (b'{"status":"down"}', {"fields": {"status": "up"}}, FAILED),
        (b'{ "status" : "up" }', {"fields": {"status": "up"}}, OK),
        (b'{"db": {"ok": true}}', {"fields": {"db.ok": True}}, OK),
        (b'{"db": {"ok": 1}}', {"fields": {"db.ok": True}}, FAILED),
        (b'{"db": []}', {"fields": {"db.ok": True}}, FAILED),
        (b"[]", {"fields": {"status": "up"}}, FAILED),
        (b"<html>Sign in</html>", {"fields": {"status": "up"}}, FAILED),
        (b"[" * 60_000, {"fields": {"status": "up"}}, FAILED),
        (b"\xff\xfe\x00", {"fields": {"status": "up"}}, FAILED),
        (b"<html>Sign in</html>", {"contains": "pong"}, FAILED),
        (b"ping pong", {"contains": "pong"}, OK),
    ],
)
def test_f6_a_body_that_says_down_is_failed_where_the_check_looks_at_it(
    serve: Callable[..., Server], body: bytes, options: dict[str, object], status: SampleStatus
) -> None:
    assert probe(serve(answer(200, body)), **options).status is status


# --- where it connects (F1, F3, F4) -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254", "169.254.1.1", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16",
        "192.0.0.192", "fe80::1", "fe80::1%lo", "0.0.0.0", "::", "0.1.2.3", "255.255.255.255", "240.0.0.1",
        "224.0.0.1", "ff02::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2", "64:ff9b:1::1",
    ],
)  # fmt: skip
def test_f1_metadata_and_other_foreign_addresses_are_never_connected_to(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", _must_not_be_called)

    sample = probe(Elsewhere((host, 80)))

    assert sample.status is VOID
    assert "never connect to" in sample.detail


@pytest.mark.parametrize("host", ["2852039166", "0xa9fea9fe", "169.254.43518"])
def test_f1_other_spellings_of_a_metadata_address_are_seen_through(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", _must_not_be_called)

    assert probe(Elsewhere((host, 80))).status is VOID


@pytest.mark.parametrize(
    "host",
    [
        "user:secret@127.0.0.1",
        "good\\@evil",
        "a b",
        "a\r\nHost: x",
        "",
        "unix:/run/x.sock",
        "file:///etc",
        "é",
    ],
)
def test_f4_what_is_no_host_name_is_not_measured(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _must_not_be_called)

    sample = probe(Elsewhere((host, 80)))

    assert sample.status is VOID
    assert "secret" not in sample.detail


def _must_not_be_called(*arguments: object, **options: object) -> None:
    raise AssertionError("must not be called")


def test_f3_a_name_is_resolved_once_and_the_checked_address_is_used(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, asked = serve(GOOD), []

    def rebinding(host: str, port: int, **options: object) -> list[object]:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    target = Elsewhere(("app.test", server.port))

    assert probe(target).status is OK
    assert asked == ["app.test"]
    assert f"Host: app.test:{server.port}\r\n".encode() in server.requests[0]
    assert probe(target).status is VOID, "each measurement checks again"


def test_f3_one_denied_address_among_several_refuses_the_name(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(GOOD)
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, server.port))
        for address in ("127.0.0.1", "169.254.169.254")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    assert probe(Elsewhere(("app.test", server.port))).status is VOID
    assert server.requests == []


def test_the_next_address_of_a_name_is_tried_where_one_refuses(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(GOOD)
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, server.port))
        for address in ("127.0.0.2", "127.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    assert probe(Elsewhere(("app.test", server.port))).status is OK


def test_an_address_that_swallows_connections_leaves_time_for_the_next(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, connect = serve(GOOD), socket.socket.connect
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, server.port))
        for address in ("127.0.0.2", "127.0.0.1")
    ]

    def swallowing(self: socket.socket, where: tuple[str, int]) -> None:
        if where[0] == "127.0.0.2":
            time.sleep(self.gettimeout() or 60)
            raise TimeoutError
        connect(self, where)

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr(socket.socket, "connect", swallowing)

    assert probe(Elsewhere(("app.test", server.port)), timeout_s=0.6).status is OK


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(5) and [])
    began = time.monotonic()

    sample = probe(Elsewhere(("app.test", 80)), timeout_s=0.2)
    release.set()

    assert sample.status is VOID
    assert time.monotonic() - began < 1.0


def test_an_unknown_name_is_void(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    assert probe(Elsewhere(("app.test", 80))).status is VOID


def test_a_target_without_an_address_is_void() -> None:
    assert probe(Elsewhere(None)).detail == "the target has no single published port"
    assert probe(Elsewhere(None), port=8080).detail == "the target has no address for port 8080"
    assert probe(Elsewhere(None)).status is VOID


def test_a_runtime_that_does_not_answer_is_void() -> None:
    class Mute(Elsewhere):
        def address(self, port: int | None) -> tuple[str, int] | None:
            raise BackendError("the daemon is away, token=hunter2", code="docker_away")

    sample = probe(Mute(None))

    assert (sample.status, sample.detail) == (VOID, "the runtime gave no answer (docker_away)")


@pytest.mark.parametrize("port", [22, 25, 6379, 11211])
def test_f4_ports_of_line_protocols_are_not_spoken_to(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", _must_not_be_called)

    assert probe(Elsewhere(("127.0.0.1", port))).status is VOID
    with pytest.raises(ConfigurationError, match="use type: tcp"):
        FACTORY.create("http", port=port)


def test_no_network_on_our_side_is_void(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*arguments: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", unreachable)

    sample = probe(Elsewhere(("127.0.0.1", 80)))

    assert (sample.status, sample.detail) == (VOID, "no connection can be made from here (ENETUNREACH)")


def test_proxies_and_netrc_are_never_consulted(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server, proxy = serve(GOOD), serve(GOOD)
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password hunter2\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    monkeypatch.delenv("no_proxy", raising=False)

    assert probe(server).status is OK
    assert proxy.requests == []
    assert b"uthorization" not in server.requests[0]


def test_a_cookie_is_never_sent_back(serve: Callable[..., Server]) -> None:
    server = serve(answer(200, b"", "Set-Cookie: session=1; Path=/"))
    check = FACTORY.create("http")

    check.check(server, 2.0)
    check.check(server, 2.0)

    assert all(b"ookie" not in request for request in server.requests)
    assert len(server.requests) == 2


# --- secrets (F9) -----------------------------------------------------------------------------------------


def test_f9_neither_credentials_nor_answers_show_anywhere(
    serve: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    replies = [
        answer(500, b"password=body-secret"),
        answer(302, b"", "Location: /login?token=body-secret"),
        b"body-secret\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nbody-secret\r\n",
        answer(200, b'{"status": "body-secret"}'),
    ]
    for reply in replies:
        check = FACTORY.create(
            "http", headers={"Authorization": "Bearer head-secret"}, fields={"status": "up"}
        )
        sample = check.check(serve(reply), 2.0)

        assert sample.status is FAILED
        assert "secret" not in repr(sample) + repr(check) + caplog.text

    with pytest.raises(ConfigurationError) as refused:
        FACTORY.create("http", headers={"Authorization": "Bearer head-secret\r\n"})
    assert "head-secret" not in str(refused.value)


# --- TLS (F8) ---------------------------------------------------------------------------------------------


def certificate(tmp_path: Path, *, days: int = 1, name: str = "shop.example") -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for a name and 127.0.0.1, good from yesterday for some days."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    began = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=2)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(began)
        .not_valid_after(began + datetime.timedelta(days=2 + days, hours=-1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, key_pem = tmp_path / f"{name}{days}.pem", tmp_path / f"{name}{days}.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key_pem)
    return pem, context


def test_f8_a_trusted_certificate_passes_and_an_expired_one_fails(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    good, good_tls = certificate(tmp_path)
    expired, expired_tls = certificate(tmp_path, days=-1)

    assert probe(serve(GOOD, good_tls), scheme="https", ca_file=str(good)).status is OK
    sample = probe(serve(GOOD, expired_tls), scheme="https", ca_file=str(expired))
    assert (sample.status, sample.detail) == (FAILED, "TLS: certificate has expired")


def test_f8_an_untrusted_or_foreign_certificate_fails(serve: Callable[..., Server], tmp_path: Path) -> None:
    pem, tls = certificate(tmp_path)
    server = serve(GOOD, tls)

    assert probe(server, scheme="https").status is FAILED
    assert probe(server, scheme="https", ca_file=str(pem), host="other.example").status is FAILED
    assert probe(server, scheme="https", ca_file=str(pem), host="shop.example:8443").status is OK
    assert b"Host: shop.example:8443\r\n" in server.requests[-1]


def test_f8_verification_is_switched_off_for_one_check_and_loudly(
    serve: Callable[..., Server], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, tls = certificate(tmp_path, days=-1)

    assert probe(serve(GOOD, tls), scheme="https", verify=False).status is OK
    assert "does not verify the server's certificate" in caplog.text


def test_a_plain_server_behind_https_fails(serve: Callable[..., Server]) -> None:
    assert probe(serve(GOOD), scheme="https").status is FAILED


def test_a_tls_handshake_that_hangs_fails_at_the_deadline(serve: Callable[..., Server]) -> None:
    began = time.monotonic()

    assert probe(serve(lambda held: held.recv(1)), timeout_s=0.3, scheme="https").status is FAILED
    assert time.monotonic() - began < 1.0


# --- it can fail ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_self_test_fails_as_it_must(scheme: str) -> None:
    for options in ({}, {"port": 9000}, {"expect": "100-599"}):
        assert FACTORY.create("http", scheme=scheme, **options).self_test(1.0).status is FAILED


# --- a path that cannot exist -------------------------------------------------------------------------------


def path_aware(request: bytes) -> bytes:
    """Knows one path only."""
    return GOOD if b" /health " in request else b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def answers_anything(request: bytes) -> bytes:
    """A page for every path, as single-page applications and login walls have."""
    return GOOD


@pytest.mark.parametrize(
    ("answer", "options", "ignores"),
    [
        (path_aware, {}, False),
        (answers_anything, {}, True),
        (answers_anything, {"contains": "ok"}, True),
        (answers_anything, {"contains": "healthy"}, False),
        (path_aware, {"expect": [404]}, True),
    ],
)
def test_a_probe_that_passes_whatever_it_asks_for_says_so(
    answer: Callable[[bytes], bytes], options: dict[str, object], ignores: bool
) -> None:
    server = Server(lambda connection: connection.sendall(answer(server.requests[-1])))
    try:
        check = FACTORY.create("http", port=server.port, **options)
        assert isinstance(check, PathCheck)
        assert check.ignores_path(server, 2.0) is ignores
        assert b"/health" not in server.requests[-1]
    finally:
        server.close()
