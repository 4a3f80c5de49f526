"""The demonstration on a real Docker daemon: its own containers, images and registry, gone afterwards."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Mapping

from safeupdater.backends.docker import ContainerFilter, DockerBackend
from safeupdater.backends.docker.client import DockerApi, connect, decode
from safeupdater.backends.docker.daemon import Daemon
from safeupdater.backends.docker.faults import one_line
from safeupdater.backends.docker.wire import IMAGES
from safeupdater.cli.demo_images import PROBE, Image, NoPrograms, image, layer, programs
from safeupdater.cli.demo_registry import DemoRegistry, serving
from safeupdater.cli.demo_stage import Stage
from safeupdater.cli.signals import deferred
from safeupdater.config.policy import Policy
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.operation import Outcome
from safeupdater.errors import SafeUpdaterError
from safeupdater.protocols import Observer
from safeupdater.registries.oci import RegistryClient
from safeupdater.stores.memory import MemoryStore
from safeupdater.update.updater import Updater

LABEL = "safeupdater.demo"
_DIES_AFTER_S = 4
_POLICY = {
    "health": {
        "ready_timeout": "20s",
        "window": "6s",
        "interval": "1s",
        "checks": [{"type": "exec", "argv": list(PROBE)}],
    },
}


class Unsuitable(Exception):
    """Why the demonstration cannot be given on this daemon; it was left as it is."""


@contextlib.contextmanager
def docker_stage(observer: Observer, environ: Mapping[str, str]) -> Iterator[Stage]:
    """Three containers on the local daemon, each with a newer version in a registry on loopback.

    Raises:
        Unsuitable: there is no local daemon, or it cannot run what this machine has.
    """
    token = secrets.token_hex(3)
    with contextlib.ExitStack() as stack:
        api = stack.enter_context(_local_daemon(environ))
        registry = stack.enter_context(serving())
        backend = DockerBackend(
            connect(environment=environ), host="demo", where=ContainerFilter(labels=(f"{LABEL}={token}",))
        )
        stack.callback(_clean_up, api, token, registry.address)
        try:
            architecture = backend.scanner.version.arch
            files = layer(programs())
            good = {version: image(files, version, architecture=architecture) for version in _GOOD}
            bad = image(files, "2.1.1", architecture=architecture, dies_after_s=_DIES_AFTER_S)
            names = _run(api, registry, token, good)
        except (NoPrograms, SafeUpdaterError) as error:
            raise Unsuitable(str(error)) from error
        _publish(registry, good, bad)
        updater = Updater(
            backends=[backend],
            policy=Policy.from_dict(_POLICY),
            store=MemoryStore(allow_volatile=True),
            tags=RegistryClient(environ={}),
            observers=[observer],
        )
        with updater:
            yield Stage(
                updater=updater,
                place="this machine's Docker daemon, with three small containers of its own",
                outcomes={names["shop"]: Outcome.SUCCEEDED, names["search"]: Outcome.ROLLED_BACK},
                waits=names["ledger"],
            )


_RUNNING = {"shop": "1.4.2", "search": "2.1.0", "ledger": "15.4.0"}
_GOOD = (*_RUNNING.values(), "1.4.3", "16.0.0")


def _publish(registry: DemoRegistry, good: Mapping[str, Image], bad: Image) -> None:
    registry.publish("demo/shop", "1.4.3", good["1.4.3"])
    # It comes up well and dies of a leak a little later: a deployment without a window calls it a success.
    registry.publish("demo/search", "2.1.1", bad)
    registry.publish("demo/ledger", "16.0.0", good["16.0.0"])


@contextlib.contextmanager
def _local_daemon(environ: Mapping[str, str]) -> Iterator[DockerApi]:
    """The daemon of this machine: only it can pull from our loopback; a distant one may be in production."""
    try:
        api = DockerApi(connect(environment=environ))
    except SafeUpdaterError as error:
        raise Unsuitable(str(error)) from error
    with contextlib.closing(api):
        if not api.url.startswith("unix://"):
            raise Unsuitable(f"the Docker daemon at {api.written_url} may be on another machine")
        try:
            _ = api.version
        except SafeUpdaterError as error:
            raise Unsuitable(str(error)) from error
        yield api


def _run(
    api: DockerApi, registry: DemoRegistry, token: str, images: Mapping[str, Image]
) -> Mapping[str, str]:
    """Pulls and starts what runs at first; the containers' names by what they stand for."""
    daemon = Daemon(api)
    names = {}
    for what, version in _RUNNING.items():
        reference = ImageReference.parse(registry.publish(f"demo/{what}", version, images[version]))
        names[what] = f"demo-{what}-{token}"
        # A request whose answer nobody waits for is carried out all the same, and its container stays.
        with deferred():
            _start(daemon, reference, names[what], token)
    return names


def _start(daemon: Daemon, image: ImageReference, name: str, token: str) -> None:
    for said in daemon.pull(image.name, image.tag or "", None):
        if "error" in said:
            raise Unsuitable(f"the daemon cannot pull from {image.registry}: {one_line(str(said['error']))}")
    body = {
        "Image": str(image),
        "Labels": {LABEL: token},
        # No network is needed: the probes run inside.
        "HostConfig": {"NetworkMode": "none", "RestartPolicy": {"Name": "unless-stopped"}},
    }
    daemon.create(name, body)
    daemon.start(name)


def _clean_up(api: DockerApi, token: str, address: str) -> None:
    """Removes every container and image of this demonstration, whatever became of it."""
    with deferred():
        for container in Daemon(api).containers():
            if (container.labels or {}).get(LABEL) == token:
                _remove(api, f"/containers/{container.id}")
        for listed in decode(IMAGES, api.raw("/images/json", "list images"), "list images"):
            names = [*(listed.repo_tags or ()), *(listed.repo_digests or ())]
            if any(name.startswith(f"{address}/") for name in names):
                _remove(api, f"/images/{listed.id}")


def _remove(api: DockerApi, path: str) -> None:
    with contextlib.suppress(SafeUpdaterError):  # the rest is to go all the same
        api.call("DELETE", path, "clean up", params={"force": 1, "v": 1}, accept=(200, 204, 404))
