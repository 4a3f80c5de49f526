"""Replicas of one compose service are rolled one by one; what is not a replica need not wait for them."""

from __future__ import annotations

from typing import Any

import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.config.policy import Policy
from safeupdater.domain.operation import Outcome
from safeupdater.registries.static import StaticTags
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.fake_docker import FakeDocker
from safeupdater.update.executor import Progressed
from safeupdater.update.updater import Updater

APP = "registry.test/app"
POLICY = {
    "max_concurrent": 50,
    "health": {"window": "30s", "interval": "10s", "ready_timeout": "30s"},
}


def service(project: str, name: str) -> dict[str, str]:
    return {"com.docker.compose.project": project, "com.docker.compose.service": name}


CROWDS: list[tuple[dict[str, dict[str, str]], int]] = [
    ({f"shop-web-{number}": service("shop", "web") for number in range(4)}, 1),
    ({f"plain-{number}": {} for number in range(4)}, 4),
    ({f"{project}-web": service(project, "web") for project in ("one", "two", "three")}, 3),
    ({f"shop-{name}": service("shop", name) for name in ("web", "api", "db")}, 3),
    (
        {f"shop-{name}-{number}": service("shop", name) for name in ("web", "api") for number in (1, 2, 3)},
        2,
    ),
    ({f"half-{number}": {"com.docker.compose.project": "shop"} for number in range(3)}, 3),
]


@pytest.mark.parametrize(("crowd", "most"), CROWDS)
def test_of_one_service_never_two_are_updated_at_once(crowd: dict[str, dict[str, str]], most: int) -> None:
    daemon = FakeDocker()
    daemon.release(f"{APP}:1.0.0", pulled=True)
    digest = daemon.release(f"{APP}:1.0.1")
    for name, labels in crowd.items():
        daemon.run(name, f"{APP}:1.0.0", Labels=labels)
    seen: list[Any] = []
    updater = Updater(
        backends=[DockerBackend(daemon.client(), host="h", own_container=None)],
        policy=Policy.from_dict(POLICY),
        tags=StaticTags({APP: ["1.0.0", "1.0.1"]}, digests={f"{APP}:1.0.1": digest}),
        clock=FakeClock(),
        progress=lambda progressed: seen.append(under_way(progressed)),
    )

    def under_way(_: Progressed) -> tuple[str, ...]:
        # What was parked is not up: that is what must never be true of two replicas.
        return tuple(sorted(c["Name"] for c in daemon.containers.values() if c["Name"].endswith(".su-old")))

    updater.scan()
    results = updater.apply()
    assert {result.outcome for result in results} == {Outcome.SUCCEEDED}, results
    assert len(results) == len(crowd)
    assert max(len(names) for names in seen) == most
    assert daemon.running() == set(crowd)
