"""The state file of the first versions: what we write has its form, and what it holds can be taken over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from safeupdater.domain.asset import Asset
from safeupdater.errors import ConfigurationError
from safeupdater.stores.checkpoint import state_of
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.stores.memory import MemoryStore
from safeupdater.stores.transfer import import_state
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.stores import START, asset
from safeupdater.update.inventory import Inventory

GOLDEN = json.loads(Path(__file__).with_name("test_stores_original_state.json").read_text())


def taken_over(state: object) -> Inventory:
    store = MemoryStore(FakeClock(START))
    import_state(state, store)
    return Inventory(store)


def with_first(**changes: Any) -> dict[str, Any]:
    first, *others = GOLDEN["assets"]
    return {**GOLDEN, "assets": [{**first, **changes}, *others]}


def test_every_asset_of_the_golden_file_is_found_by_its_old_and_its_new_id() -> None:
    inventory = taken_over(GOLDEN)
    new_ids = [
        "docker://local/cache",
        "helm://local/store-front/shop",
        "k8s://local/default/deployment/my-app",
    ]
    assert [found.id for found in inventory.assets()] == new_ids
    app = inventory.get("deployment-my-app-default")
    assert isinstance(app, Asset)
    assert str(app.image) == "registry.example/my-app:1.2.3"
    assert (app.current_version, app.available_version, str(app.status)) == (
        "1.2.3", "1.3.0", "update_available",
    )  # fmt: skip
    assert dict(app.labels) == {"tier": "web"}
    assert app.last_scan is not None
    assert app.last_scan.isoformat() == "2025-10-20T10:29:00+00:00"
    shop = inventory.get("helm://local/store-front/shop")
    assert shop is not None
    assert str(shop.image) == "shop-chart@4.1.0"


def test_what_we_write_has_every_field_of_the_golden_file_and_its_statistics() -> None:
    assets = taken_over(GOLDEN).assets()
    written = state_of(assets, START)
    assert [key for key in written if key in GOLDEN] == list(GOLDEN)
    for fields in written["assets"]:
        assert set(GOLDEN["assets"][0]) <= set(fields)
    assert written["statistics"] == GOLDEN["statistics"]


def test_a_json_stores_own_state_file_can_be_taken_over_too(tmp_path: Path) -> None:
    with JsonFileStore(tmp_path / "s", FakeClock(START)) as store:
        store.put("asset", "memory://here/web", asset())
    state = json.loads((tmp_path / "s/state.json").read_text())
    assert taken_over(state).assets() == (asset(),)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({**GOLDEN, "version": "2.0"}, "version '2.0'"),
        ({**GOLDEN, "assets": [{"id": "container-x"}]}, r"assets\[0\] is damaged .*asset_type"),
        ({**GOLDEN, "assets": ["x"]}, r"assets\[0\]"),
        (with_first(status="sleeping"), "sleeping"),
        (with_first(asset_type="toaster"), "toaster"),
        (with_first(name="a b"), "not an asset id"),
        (with_first(metadata={"image": "Not:An:Image"}), r"assets\[0\]"),
        (with_first(last_scan="yesterday"), "yesterday"),
        (with_first(image=3), r"assets\[0\]"),
    ],
)
def test_a_state_file_that_cannot_be_used_says_where_and_why(state: object, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        taken_over(state)
    assert refused.value.code == "invalid_export"
