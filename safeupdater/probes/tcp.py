"""Health by TCP: something accepts connections and keeps them."""

from __future__ import annotations

import attrs

from safeupdater.domain.health import Sample
from safeupdater.probes import options
from safeupdater.probes.addresses import connect, endpoints
from safeupdater.probes.closed import ClosedPort
from safeupdater.probes.measure import Deadline, Unhealthy, measured
from safeupdater.protocols import ProbeTarget

LINGER_S = 0.2
"""How long a connection is watched. A port forwarder (Docker's own, a Service proxy) accepts for a container
that does not listen and closes at once, so that an accepted connection alone shows nothing."""


@attrs.frozen(kw_only=True)
class TcpCheck:
    """Connects to a port, sends nothing, and wants the connection to stay open for a moment."""

    port: int = attrs.field(default=8080, converter=options.port)
    timeout_s: float | None = attrs.field(default=None, converter=options.timeout, alias="timeout")

    def check(self, target: ProbeTarget, timeout_s: float) -> Sample:
        """``ok`` where the port takes a connection and does not drop it at once."""
        deadline = Deadline.after(min(timeout_s, self.timeout_s or timeout_s))
        return measured(lambda: self._measure(target, deadline))

    def self_test(self, timeout_s: float) -> Sample:
        """The same against a port on loopback that is surely closed."""
        with ClosedPort() as closed:
            return self.check(closed, timeout_s)

    def _measure(self, target: ProbeTarget, deadline: Deadline) -> str:
        with connect(endpoints(target, self.port, deadline), deadline) as connection:
            connection.settimeout(min(LINGER_S, deadline.remaining_s()))
            try:
                dropped = connection.recv(1) == b""
            except TimeoutError:
                dropped = False
        if dropped:
            raise Unhealthy(f"port {self.port} closed the connection at once")
        return f"port {self.port} accepts connections"
