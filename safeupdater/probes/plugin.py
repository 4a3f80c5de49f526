"""Health checks that others wrote: found by name, run at arm's length."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

import attrs

from safeupdater.deadlines import Patience
from safeupdater.domain.health import Sample, SampleStatus
from safeupdater.plugins import find_plugin, plugin_names
from safeupdater.protocols import HealthCheck, ProbeTarget

GROUP = "health_checks"

Maker = Callable[..., HealthCheck]


def find(name: str) -> Maker | None:
    """What an installed package offers under a name; None where nobody does. Nothing else is loaded.

    Raises:
        PluginError: two packages claim the name, or it cannot be loaded.
    """
    made = find_plugin(GROUP, name)
    return None if made is None else cast("Maker", made)


def names() -> tuple[str, ...]:
    """The names on offer, without loading any."""
    return plugin_names(GROUP)


@attrs.define(eq=False)
class GuardedCheck:
    """A foreign check on a thread of its own, with a deadline, its answer examined.

    What hangs, raises or returns anything but a sample gives ``void``: it measured nothing. While an
    abandoned call still hangs, no further one is started, so that a hanging plugin costs one thread.
    """

    name: str
    inner: HealthCheck
    _patience: Patience = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._patience = Patience(f"the check {self.name}")

    def check(self, target: ProbeTarget, timeout_s: float) -> Sample:
        """The sample of the inner check; ``void`` where it gives none in time."""
        return self._guarded(lambda: self.inner.check(target, timeout_s), timeout_s)

    def self_test(self, timeout_s: float) -> Sample:
        """The self-test of the inner check; ``void``, and so not passed, where it gives none in time."""
        return self._guarded(lambda: self.inner.self_test(timeout_s), timeout_s)

    def _guarded(self, call: Callable[[], object], timeout_s: float) -> Sample:
        try:
            return self._patience.ask(lambda: self._examined(call), timeout_s)
        except TimeoutError as error:
            return _void(str(error))

    def _examined(self, call: Callable[[], object]) -> Sample:
        try:
            answer = call()
        except BaseException as error:  # noqa: BLE001 - SystemExit too: here it can only be the plugin's
            return _void(f"the check {self.name} raised {type(error).__name__}")
        if not isinstance(answer, Sample) or not isinstance(answer.status, SampleStatus):
            return _void(f"the check {self.name} gave {type(answer).__name__} instead of a sample")
        return answer


def _void(detail: str) -> Sample:
    return Sample(SampleStatus.VOID, time.monotonic(), detail)
