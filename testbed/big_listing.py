"""Measures one listing of very many tags in a process of its own: ``python -m testbed.big_listing 100000``.

The server runs in another process, so that only the client is measured. Prints JSON: tags, pages, seconds of
CPU and the growth of the peak memory in MiB.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

from safeupdater.domain.artifact import ImageReference
from safeupdater.errors import RegistryError
from safeupdater.registries.oci import RegistryClient
from testbed.scripted_registry import ScriptedRegistry

PAGE_SIZE = 1000


def main() -> int:
    """Serves with ``serve COUNT PAGE``, else measures with ``COUNT [PAGE]``."""
    if sys.argv[1] == "serve":
        return _serve(int(sys.argv[2]), int(sys.argv[3]))
    count = int(sys.argv[1])
    page_size = int(sys.argv[2]) if len(sys.argv) > 2 else PAGE_SIZE
    command = [sys.executable, "-m", "testbed.big_listing", "serve", str(count), str(page_size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            print(json.dumps(_measure(server.stdout.readline().strip(), count, page_size)))
        finally:
            server.terminate()
    return 0


def _serve(count: int, page_size: int) -> int:
    with ScriptedRegistry(page_size=page_size or None) as registry:
        registry.repository("shop/small").add_image("1.0.0")
        repository = registry.repository("shop/app")
        repository.add_image("1.0.0")
        repository.tags.extend(f"{n // 10000}.{n // 100 % 100}.{n % 100}-build.{n}" for n in range(1, count))
        print(registry.host, flush=True)
        sys.stdin.read()
    return 0


def _measure(host: str, count: int, page_size: int) -> dict[str, object]:
    with RegistryClient(environ={}) as client:
        client.get_available_tags(ImageReference.parse(f"{host}/shop/small:1.0.0"))  # imports are not listing
        before, cpu, wall = _peak_mib(), time.process_time(), time.monotonic()
        try:
            tags, error = len(client.get_available_tags(ImageReference.parse(f"{host}/shop/app:1.0.0"))), ""
        except RegistryError as refused:
            tags, error = 0, refused.code
        return {
            "tags": tags,
            "error": error,
            "pages": -(-count // page_size) if page_size else 1,
            "cpu_s": time.process_time() - cpu,
            "wall_s": time.monotonic() - wall,
            "grown_mib": _peak_mib() - before,
        }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
