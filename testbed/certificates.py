"""A throw-away certificate authority with one server and one client certificate for loopback."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from testbed.processes import LOOPBACK


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
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("testbed authority", authority_key, authority_key, "testbed authority", ca=True)
    paths.ca.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    for usage, cert_path, key_path in (
        (ExtendedKeyUsageOID.SERVER_AUTH, paths.server_cert, paths.server_key),
        (ExtendedKeyUsageOID.CLIENT_AUTH, paths.client_cert, paths.client_key),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate("localhost", key, authority_key, "testbed authority", usage=usage)
        cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_path.touch(mode=0o600)
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    return paths


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    issuer: str,
    *,
    ca: bool = False,
    usage: x509.ObjectIdentifier | None = None,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if usage is not None:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(LOOPBACK))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
