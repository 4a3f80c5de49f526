"""Throw-away certificates: an authority that signs for any names, so that TLS can be had on loopback."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from testbed.processes import LOOPBACK

_DAY = datetime.timedelta(days=1)
_PEM = serialization.Encoding.PEM


class Authority:
    """Signs certificates for any names, good for a day; ``ca_file`` is what those who trust it must read."""

    def __init__(self, ca_file: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("testbed authority")
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        certificate = self._builder("testbed authority", self._key).add_extension(constraints, critical=True)
        self.ca_file = ca_file
        self.ca_file.write_bytes(certificate.sign(self._key, hashes.SHA256()).public_bytes(_PEM))

    def issue(
        self, *names: str, usage: x509.ObjectIdentifier | None = None, expired: bool = False
    ) -> tuple[bytes, bytes]:
        """A new key and its certificate for these names, as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._builder(names[0], key, expired=expired).add_extension(
            x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False
        )
        if usage is not None:
            certificate = certificate.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        private = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return private, certificate.sign(self._key, hashes.SHA256()).public_bytes(_PEM)

    def server_context(self, *names: str, expired: bool = False) -> ssl.SSLContext:
        """The TLS side of a server that answers to these names."""
        key, certificate = self.issue(*names, expired=expired)
        pem = self.ca_file.with_name(f"server-{x509.random_serial_number()}.pem")
        _write_private(pem, key + certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context

    def _builder(
        self, subject: str, key: ec.EllipticCurvePrivateKey, *, expired: bool = False
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now - _DAY / 2 if expired else now + _DAY)
        )


@attrs.frozen
class Certificates:
    """Where the files are; the client's have the names that ``DOCKER_CERT_PATH`` wants."""

    directory: Path

    @property
    def ca(self) -> Path:
        """The authority's certificate."""
        return self.directory / "ca.pem"

    @property
    def server_cert(self) -> Path:
        """The server's certificate."""
        return self.directory / "server-cert.pem"

    @property
    def server_key(self) -> Path:
        """The server's key."""
        return self.directory / "server-key.pem"

    @property
    def client_cert(self) -> Path:
        """The client's certificate."""
        return self.directory / "cert.pem"

    @property
    def client_key(self) -> Path:
        """The client's key."""
        return self.directory / "key.pem"


def issue_certificates(directory: Path) -> Certificates:
    """Writes an authority, a server certificate for loopback and a client certificate, good for a day."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = Certificates(directory)
    authority = Authority(paths.ca)
    for usage, certificate_path, key_path in (
        (ExtendedKeyUsageOID.SERVER_AUTH, paths.server_cert, paths.server_key),
        (ExtendedKeyUsageOID.CLIENT_AUTH, paths.client_cert, paths.client_key),
    ):
        key, certificate = authority.issue("localhost", LOOPBACK, usage=usage)
        certificate_path.write_bytes(certificate)
        _write_private(key_path, key)
    return paths


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
