"""Measuring health: http, tcp, exec, the runtime's own state, and plugins."""

from safeupdater.probes.exec import ExecCheck
from safeupdater.probes.factory import HealthCheckFactory
from safeupdater.probes.http import HttpCheck
from safeupdater.probes.runtime import RuntimeCheck
from safeupdater.probes.tcp import TcpCheck

__all__ = ["ExecCheck", "HealthCheckFactory", "HttpCheck", "RuntimeCheck", "TcpCheck"]
