"""One of many processes that append to one operation by compare-and-set.

``python -m testbed.appending URL NAME COUNT`` prints how many appends were acknowledged and how often the
store asked to try again; it exits with 3 where the store is locked by another process.
"""

from __future__ import annotations

import random
import sys
import time

from safeupdater.domain.operation import Phase, StepDone
from safeupdater.errors import StoreError, StoreLocked, VersionConflict
from safeupdater.protocols import StateStore
from safeupdater.stores.open import open_store
from safeupdater.testing.stores import START

OPERATION = "op-1"


def event(name: str, number: int) -> StepDone:
    """The event that a process appends as its n-th."""
    return StepDone(phase=Phase.STAGING, step="pull", detail=f"{name}:{number}")


def append_many(store: StateStore, name: str, count: int) -> int:
    """Appends that many events; gives how often the store asked to try the same again."""
    version, retries, lost = 1, 0, 0
    for number in range(count):
        while True:
            try:
                version = store.append(OPERATION, [event(name, number)], expected_version=version, at=START)
                lost = 0
                break
            except VersionConflict as conflict:
                version, lost = int(str(conflict.evidence["version"])), lost + 1
                # Every try in vain costs the others time: whoever loses again and again tries less often.
                time.sleep(random.uniform(0.0, min(0.5, 0.01 * 2**lost)))
            except StoreError as error:
                if not error.transient:
                    raise
                retries += 1
    return retries


def main(url: str, name: str, count: str) -> None:
    """Opens the store and appends."""
    try:
        store = open_store(url)
    except StoreLocked as locked:
        print(f"locked by {locked.pid}")
        sys.exit(3)
    retries = append_many(store, name, int(count))
    print(f"{count} appended, {retries} tried again", flush=True)
    sys.stdin.read()  # keep the store open until told to go
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
