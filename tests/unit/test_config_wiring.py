"""The store that an environment names: its snapshots are sealed by a key of the environment."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from safeupdater import Updater
from safeupdater.config.wiring import store_at
from safeupdater.errors import ConfigurationError, CorruptState
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.store_samples import snapshot

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(32)).decode()


def test_a_snapshot_is_sealed_with_the_key_of_the_environment(tmp_path: Path) -> None:
    url, clock = f"sqlite:///{tmp_path}/state.db", FakeClock()
    environ = {"SAFEUPDATER_STORE": url, "SAFEUPDATER_SEAL_KEY": KEY + "\n"}
    with Updater.from_env(environ) as updater:
        updater.store.put("snapshot", "op", snapshot())
    store = store_at(url, clock, environ)
    assert store.get("snapshot", "op")
    store.close()
    for key in ({}, {"SAFEUPDATER_SEAL_KEY": OTHER}):
        store = store_at(url, clock, key)
        with pytest.raises(CorruptState):
            store.get("snapshot", "op")
        store.close()


@pytest.mark.parametrize("key", ["no base64!", KEY[:-4], KEY + KEY, ""])
def test_a_key_that_is_none_is_refused_and_not_shown(key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        store_at(f"sqlite:///{tmp_path}/state.db", FakeClock(), {"SAFEUPDATER_SEAL_KEY": key})
    assert not key or key not in str(raised.value)
    assert "SAFEUPDATER_SEAL_KEY is not 32 bytes" in str(raised.value)
    assert raised.value.__cause__ is None
