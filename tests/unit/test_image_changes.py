"""What a new image changes of how it is run: found in the configs, told in the plan and by the backend."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from safeupdater.backends.docker import DockerBackend
from safeupdater.config.policy import Policy
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset, AssetType
from safeupdater.domain.candidate import Candidate, Facts
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Verdict
from safeupdater.domain.image import ImageChange, ImageDefaults, image_changes
from safeupdater.domain.operation import Phase
from safeupdater.errors import ConfigurationError
from safeupdater.gates import ImageChanges
from safeupdater.registries.oci.manifests import DOCKER_MANIFEST
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.driving import Drive, operation_for
from safeupdater.testing.fake_docker import FakeDocker
from safeupdater.update.updater import Updater
from testbed.registry_world import REGISTRY, World
from testbed.scripted_registry import ScriptedRegistry, digest_of

OLD: dict[str, Any] = {
    "User": "app", "Entrypoint": ["/app"], "Cmd": ["serve"], "ExposedPorts": {"80/tcp": {}},
    "Volumes": {"/data": {}}, "Healthcheck": {"Test": ["CMD", "ok"]},
}  # fmt: skip
CHANGES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"User": "root"}, ["gains_root"]),
    ({"User": ""}, ["gains_root"]),
    ({"User": "0:0"}, ["gains_root"]),
    ({"User": "00"}, ["gains_root"]),
    ({"User": "+0:5"}, ["gains_root"]),
    ({"User": "-000"}, ["gains_root"]),
    ({"User": "10"}, ["user"]),
    ({"User": "0x0"}, ["user"]),
    ({"User": "other"}, ["user"]),
    ({"Entrypoint": None}, ["entrypoint"]),
    ({"Cmd": ["serve", "--fast"]}, ["command"]),
    ({"ExposedPorts": {"80/tcp": {}, "81/udp": {}}}, ["ports_added"]),
    ({"ExposedPorts": None}, ["ports_removed"]),
    ({"Volumes": {"/data": {}, "/more": {}}}, ["volumes_added"]),
    ({"Volumes": {"/other": {}}}, ["volumes_added", "volumes_removed"]),
    ({"Healthcheck": {"Test": ["NONE"]}}, ["health_check_dropped"]),
    ({"Healthcheck": None}, ["health_check_dropped"]),
    ({"Healthcheck": {"Test": ["CMD", "other"]}}, []),
    ({"Env": ["A=b"], "Labels": {"a": "b"}}, []),
]


@pytest.mark.parametrize(("change", "codes"), CHANGES)
def test_each_difference_is_named(change: dict[str, Any], codes: list[str]) -> None:
    found = image_changes(ImageDefaults.of(OLD), ImageDefaults.of({**OLD, **change}))
    assert [item.code for item in found] == codes


def test_one_without_a_user_of_its_own_gains_nothing_by_root() -> None:
    assert image_changes(ImageDefaults(user=""), ImageDefaults(user="root")) == ()


def test_names_of_others_are_made_fit_for_a_sentence() -> None:
    evil = frozenset({"/\x1b[31m", "/‮b", "/" + "x" * 500, "/d", "/e"})
    (change,) = image_changes(ImageDefaults(), ImageDefaults(volumes=evil))
    assert change.message.isascii()
    assert change.message.isprintable()
    assert "and 2 more" in change.message
    assert len(change.message) < 300


# --- the gate ----------------------------------------------------------------------------------------------

OLD_DIGEST, NEW_DIGEST = "sha256:" + "0" * 64, "sha256:" + "1" * 64
APP = ImageReference.parse(f"{REGISTRY}/shop/app:1.0.0@{OLD_DIGEST}")


def candidate(old: str = OLD_DIGEST, new: str = NEW_DIGEST, facts: object = None) -> Candidate:
    asset = Asset(
        id="docker://h/web", name="web", asset_type=AssetType.CONTAINER, image=APP, platform="linux/amd64"
    )
    change = Change(
        asset_id=asset.id, current=APP.with_digest(old), new=APP.with_tag("1.0.1").with_digest(new),
        change_type=VersionChangeType.PATCH,
    )  # fmt: skip
    return Candidate(asset=asset, change=change, facts=Facts().with_facts({"image_changes": facts}))


ROOT, PORTS = ImageChange("gains_root", "It runs as root"), ImageChange("ports_added", "It exposes 81")


@pytest.mark.parametrize(
    ("mode", "found", "verdict", "codes"),
    [
        ("show", (), Verdict.APPROVE, ["image_unchanged"]),
        ("show", (PORTS,), Verdict.APPROVE, ["image_ports_added"]),
        ("review", (PORTS,), Verdict.REVIEW_REQUIRED, ["image_ports_added"]),
        ("show", (PORTS, ROOT), Verdict.MANUAL_APPROVAL, ["image_gains_root", "image_ports_added"]),
        ("show", None, Verdict.DEFER, ["image_unknown"]),
        ("review", None, Verdict.DEFER, ["image_unknown"]),
        ("show", "nonsense", Verdict.DEFER, ["image_unknown"]),
    ],
)
def test_the_gate_tells_and_asks(mode: str, found: object, verdict: Verdict, codes: list[str]) -> None:
    decision = ImageChanges(mode)(candidate(facts=found))
    assert (decision.verdict, [reason.code for reason in decision.reasons]) == (verdict, codes)


def test_a_mode_that_is_none_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="show or review"):
        ImageChanges("maybe")


# --- the registry ------------------------------------------------------------------------------------------


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


def push(server: ScriptedRegistry, tag: str, config: dict[str, Any], urls: tuple[str, ...] = ()) -> str:
    repository = server.repository("shop/app")
    blob = json.dumps({"os": "linux", "architecture": "amd64", "config": config}).encode()
    repository.blobs[digest_of(blob)] = blob
    layers = [{"digest": NEW_DIGEST, "mediaType": "x", "size": 1, **({"urls": list(urls)} if urls else {})}]
    manifest = {
        "schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "layers": layers,
        "config": {"digest": digest_of(blob), "mediaType": "x", "size": len(blob)},
    }  # fmt: skip
    return repository.add_document(tag, DOCKER_MANIFEST, json.dumps(manifest).encode())


def test_the_bits_that_run_are_compared_with_those_that_were_decided_on(world: World) -> None:
    server = world.serve()
    old = push(server, "1.0.0", OLD)
    new = push(server, "1.0.1", {**OLD, "User": "root", "Volumes": {"/data": {}, "/more": {}}})
    push(server, "1.0.0", {**OLD, "Cmd": ["moved"]})
    push(server, "1.0.1", {**OLD, "Cmd": ["moved"]})
    found = world.client().facts(candidate(old, new))["image_changes"]
    assert isinstance(found, tuple)
    assert [item.code for item in found] == ["gains_root", "volumes_added"]


def test_layers_from_elsewhere_are_told_and_never_fetched(world: World) -> None:
    server = world.serve()
    old = push(server, "1.0.0", OLD)
    new = push(server, "1.0.1", OLD, ("https://user:hunter2@evil.example/layer", "https://mcr.example/x"))
    found = world.client().facts(candidate(old, new))["image_changes"]
    assert [str(item) for item in found] == [  # type: ignore[attr-defined]
        "It has layers that come from evil.example, mcr.example"
    ]
    assert {exchange.kind for exchange in server.seen} == {"manifest", "blob"}
    assert len(server.asked("blob")) == 1, "the config, which both have"


def test_configs_are_fetched_only_where_a_gate_asks(world: World) -> None:
    server = world.serve()
    old = push(server, "1.0.0", OLD)
    new = push(server, "1.0.1", {**OLD, "Volumes": {}})
    asset = candidate().asset
    running = attrs.evolve(asset, digests=frozenset({old}))
    for policy, blobs in (({}, 0), ({"image_changes": "review"}, 2)):
        before = len(server.asked("blob"))
        tags = world.client()
        updater = Updater(backends=[], policy=Policy.from_dict(policy), tags=tags, clock=FakeClock())
        (update,) = updater.plan([attrs.evolve(running, platform=None)]).updates
        assert update.changes[0].new.digest == new
        assert len(server.asked("blob")) - before == blobs
        codes = {reason.code for reason in update.decision.reasons}
        assert ("image_volumes_removed" in codes) is bool(policy)
        assert update.decision.verdict is (Verdict.REVIEW_REQUIRED if policy else Verdict.APPROVE)


@pytest.mark.parametrize("missing", ["old", "new"])
def test_a_config_that_cannot_be_had_is_unknown(world: World, missing: str) -> None:
    server = world.serve()
    digest = push(server, "1.0.0", OLD)
    pair = (NEW_DIGEST, digest) if missing == "old" else (digest, NEW_DIGEST)
    assert "image_changes" not in world.client().facts(candidate(*pair))


def test_the_plan_shows_what_the_image_changes_whatever_the_verdict(world: World) -> None:
    server = world.serve()
    old = push(server, "1.0.0", OLD)
    push(server, "1.1.0", {**OLD, "Volumes": {"/more": {}}})
    asset = attrs.evolve(candidate().asset, digests=frozenset({old}))
    policy = Policy.from_dict({"image_changes": "show"})
    plan = Updater(backends=[], policy=policy, tags=world.client(), clock=FakeClock()).plan([asset])
    assert plan.updates[0].decision.verdict is Verdict.REVIEW_REQUIRED
    assert "It declares a volume at /more" in " ".join(str(plan).split())


# --- the backend -------------------------------------------------------------------------------------------


def test_the_journal_holds_what_the_new_image_changes() -> None:
    daemon = FakeDocker()
    daemon.release("registry.test/app:1.0.0", pulled=True, **OLD)
    digest = daemon.release("registry.test/app:1.0.1", **{**OLD, "Volumes": {"/v": {}}, "Healthcheck": None})
    daemon.run("web", "registry.test/app:1.0.0")
    backend = DockerBackend(daemon.client(), host="h", own_container=None)
    (asset,) = backend.scan().assets
    drive = Drive(backend, operation_for(asset, ImageReference.parse(f"registry.test/app:1.0.1@{digest}")))
    drive.capture()
    drive.step(Phase.STAGING, "pull")
    outcome = backend.perform(drive.operation, Phase.STAGING, "verify_image", print)
    assert outcome.message == (
        "It declares a volume at /v: what is there now is hidden by a new one; "
        "It no longer declares a volume at /data; It has no HEALTHCHECK any more"
    )
