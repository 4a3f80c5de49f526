"""OCI registries: ``RegistryClient`` and what it is told."""

from safeupdater.domain.platform import Platform
from safeupdater.registries.oci.client import RegistryClient
from safeupdater.registries.oci.credentials import (
    Credentials,
    CredentialSource,
    DockerConfig,
    ExplicitCredentials,
    NoCredentials,
)
from safeupdater.registries.oci.egress import EgressDenied
from safeupdater.registries.oci.manifests import ImageConfig
from safeupdater.registries.oci.network import Network
from safeupdater.registries.oci.session import RateLimit
from safeupdater.registries.oci.settings import Limits, RegistrySettings
from safeupdater.registries.oci.transport import Transport

__all__ = [
    "CredentialSource",
    "Credentials",
    "DockerConfig",
    "EgressDenied",
    "ExplicitCredentials",
    "ImageConfig",
    "Limits",
    "Network",
    "NoCredentials",
    "Platform",
    "RateLimit",
    "RegistryClient",
    "RegistrySettings",
    "Transport",
]
