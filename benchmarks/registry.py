"""Checking 1,000 images at a registry, against a bare serial urllib3 loop over the same requests.

Run: ``python -m benchmarks.registry [--images 1000] [--rounds 5]``. It starts a real docker-registry on
loopback, pushes the images, and prints ratios: ours / bare, both measured alternately in this run. A second
part measures a listing of 100,000 tags in a process of its own. Exit status 3 where a budget is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import urllib3

from benchmarks.report import Line, printed
from safeupdater.domain.artifact import ImageReference
from safeupdater.errors import RegistryError
from safeupdater.registries.oci import RegistryClient
from safeupdater.registries.oci.manifests import ACCEPT
from testbed.registry import OCI_MANIFEST, Registry

BUDGET = 1.0
TAGS_PER_REPOSITORY = 4


def main() -> int:
    """Prints the table; the exit status says whether every budget was kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with Registry() as registry:
        images = _push(registry, options.images)
        return printed([*_compare(registry, images, options.rounds), *_listing()])


def _push(registry: Registry, count: int) -> list[ImageReference]:
    images = []
    for number in range(0, count, TAGS_PER_REPOSITORY):
        repository = f"bench/app{number:04d}"
        digest = registry.push_image(repository, "0.0.0")
        _, _, body = registry.request("GET", f"/v2/{repository}/manifests/{digest}", accept=OCI_MANIFEST)
        manifest = json.loads(body)
        for minor in range(TAGS_PER_REPOSITORY):
            manifest["annotations"] = {"org.opencontainers.image.version": f"1.{minor}.0"}
            registry.put_manifest(repository, f"1.{minor}.0", json.dumps(manifest).encode(), OCI_MANIFEST)
            images.append(ImageReference.parse(f"{registry.host}/{repository}:1.{minor}.0"))
    return images[:count]


def _compare(registry: Registry, images: list[ImageReference], rounds: int) -> Iterator[Line]:
    urls = _requests(registry, images)
    bare, ours = [], []
    for _ in range(rounds):
        bare.append(_timed(lambda: _bare_loop(urls)))
        ours.append(_timed(lambda: _check(images)))
    asked = f"{len(images)} images, {len(urls)} requests"
    for name, samples in {"bare serial urllib3": bare, "safeupdater": ours}.items():
        wall_s, cpu_s = _medians(samples)
        yield Line(f"{asked}: {name} (median of {rounds})", wall_s * 1e3, "ms")
        yield Line("… CPU", cpu_s * 1e3, "ms")
    yield Line("check / bare serial loop", _medians(ours)[0] / _medians(bare)[0], "x", BUDGET)


def _requests(registry: Registry, images: list[ImageReference]) -> list[tuple[str, str]]:
    """The same requests that a check makes: one listing per repository, one HEAD per tracked digest."""
    repositories = dict.fromkeys(image.repository for image in images)
    listings = [("GET", f"{registry.url}/v2/{name}/tags/list?n=1000") for name in repositories]
    heads = [("HEAD", f"{registry.url}/v2/{image.repository}/manifests/{image.tag}") for image in images]
    return listings + heads


def _bare_loop(requests: list[tuple[str, str]]) -> None:
    pool = urllib3.PoolManager()
    for method, url in requests:
        response = pool.request(method, url, headers={"Accept": ACCEPT})
        assert response.status == 200
    pool.clear()


def _check(images: list[ImageReference]) -> None:
    with RegistryClient(environ={}) as client:
        listings = client.lookup_many(images)
        digests = client.resolve_many(images)
    assert not any(isinstance(found, RegistryError) for found in [*listings.values(), *digests.values()])
    assert len(digests) == len(images)


def _timed(action: Callable[[], None]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - cpu


def _medians(samples: list[tuple[float, float]]) -> tuple[float, float]:
    walls, cpus = zip(*samples, strict=True)
    return statistics.median(walls), statistics.median(cpus)


def _listing() -> Iterator[Line]:
    """In a process of its own, so that its memory is its own."""
    command = [sys.executable, "-m", "testbed.big_listing", "100000"]
    measured = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    yield Line(f"{measured['tags']:,} tags in {measured['pages']} pages (CPU)", measured["cpu_s"], "s", 2)
    yield Line("… grown at the peak", measured["grown_mib"], "MiB", 64)


if __name__ == "__main__":
    sys.exit(main())
