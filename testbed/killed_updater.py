"""An updater in a process of its own, which kills itself with SIGKILL at a named step.

``python -m testbed.killed_updater apply|recover DOCKER_URL STORE_URL`` scans, plans and applies, or recovers,
and prints target, outcome, code and message of each operation as JSON. ``SAFEUPDATER_KILL`` says where it
dies: ``before switching park_old``, ``after switching park_old``, ``in settling`` for a state,
``journaled BecameReady`` for an event; nowhere if it is not set.
"""

from __future__ import annotations

import json
import os
import signal
import sys

import docker

from safeupdater.backends.docker import DockerBackend
from safeupdater.config import Policy
from safeupdater.domain.notice import Notice
from safeupdater.domain.operation import JournalEntry, Phase, StepOutcome
from safeupdater.protocols import OperationContext, Report
from safeupdater.stores import open_store
from safeupdater.stores.clock import SystemClock
from safeupdater.update.updater import Updater

VARIABLE = "SAFEUPDATER_KILL"
POLICY = {
    "version": 1,
    "max_concurrent": 8,
    "health": {"window": "0.6s", "interval": "0.2s", "ready_timeout": "10s"},
}


def main(job: str, docker_url: str, store_url: str) -> None:
    """Does the job, as far as it comes."""
    client = docker.APIClient(base_url=docker_url, version="1.41")
    client.trust_env = False
    clock = SystemClock()
    updater = Updater(
        backends=[MortalBackend(client, host="test")], policy=Policy.from_dict(POLICY), clock=clock,
        store=open_store(store_url, clock), progress=lambda shown: die_if(f"in {shown.state}"),
        observers=[MortalObserver()],
    )  # fmt: skip
    with updater:
        if job == "recover":
            results = updater.recover(wait_s=10)
        else:
            updater.scan()
            results = updater.apply()
        shown = [(result.target_id, str(result.outcome), result.code, result.message) for result in results]
        print(json.dumps(shown))


class MortalBackend(DockerBackend):
    """The Docker backend; its process dies before or after the effect of one step."""

    def perform(self, operation: OperationContext, phase: Phase, step: str, report: Report) -> StepOutcome:
        """See ``Backend.perform``."""
        die_if(f"before {phase} {step}")
        outcome = super().perform(operation, phase, step, report)
        die_if(f"after {phase} {step}")
        return outcome


class MortalObserver:
    """Its process dies once an event is durable."""

    def notify(self, event: JournalEntry | Notice) -> None:
        """See ``Observer.notify``."""
        if isinstance(event, JournalEntry):
            die_if(f"journaled {type(event.event).__name__}")


def die_if(point: str) -> None:
    """Kills this process where the point is the one that was asked for."""
    if os.environ.get(VARIABLE) == point:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
