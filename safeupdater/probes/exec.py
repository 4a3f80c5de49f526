"""Health by a command inside the target: exit code 0 is well."""

from __future__ import annotations

import attrs

from safeupdater.domain.health import Sample
from safeupdater.errors import BackendError
from safeupdater.probes import options
from safeupdater.probes.closed import ClosedPort
from safeupdater.probes.measure import Unhealthy, measured
from safeupdater.protocols import ProbeTarget

DEFAULT_TIMEOUT_S = 10.0


@attrs.frozen(kw_only=True)
class ExecCheck:
    """Runs an argument list, without a shell, and wants exit code 0. The output is never looked at or kept.

    A command that does not end in time is *failed* where the backend says so (``BackendError`` with code
    ``exec_timeout``); any other ``BackendError`` means that nothing was measured.
    """

    argv: tuple[str, ...] = attrs.field(converter=options.argv, repr=False)
    timeout_s: float | None = attrs.field(default=None, converter=options.timeout, alias="timeout")

    def check(self, target: ProbeTarget, timeout_s: float) -> Sample:
        """``ok`` where the command ends with 0."""
        allowed_s = min(timeout_s, self.timeout_s or DEFAULT_TIMEOUT_S)
        return measured(lambda: self._measure(target, allowed_s))

    def self_test(self, timeout_s: float) -> Sample:
        """The same against a target in which no command succeeds."""
        with ClosedPort() as closed:
            return self.check(closed, timeout_s)

    def _measure(self, target: ProbeTarget, timeout_s: float) -> str:
        try:
            exit_code = target.execute(self.argv, timeout_s).exit_code
        except BackendError as error:
            if error.code == "exec_timeout":
                raise Unhealthy(f"the command did not end within {timeout_s:g} s") from error
            raise
        if exit_code != 0:
            raise Unhealthy(f"the command ended with exit code {exit_code}")
        return "the command ended with exit code 0"
