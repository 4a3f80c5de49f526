"""Records, as every state store promises to keep them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from safeupdater.codec import KINDS
from safeupdater.domain.operation import (
    FirstSeen,
)
from safeupdater.errors import StoreError, VersionConflict
from safeupdater.protocols import StateStore
from safeupdater.testing.clock import FakeClock
from safeupdater.testing.store_filled import filled_records
from safeupdater.testing.store_samples import START, StoreTests, asset, snapshot


class RecordTests(StoreTests):
    """The part of the contract about records."""

    def test_what_was_put_is_got(self, store: StateStore) -> None:
        assert store.get("asset", "a") is None
        version = store.put("asset", "a", asset())
        found = store.get("asset", "a")
        assert found is not None
        assert (found.value, found.version) == (asset(), version)
        assert store.get("asset", "b") is None
        assert store.get("approval", "a") is None

    def test_each_write_gives_a_higher_version(self, store: StateStore) -> None:
        versions = [store.put("setting", "k", number) for number in range(5)]
        assert versions == sorted(set(versions))
        assert versions[0] > 0
        found = store.get("setting", "k")
        assert found is not None
        assert (found.value, found.version) == (4, versions[-1])

    def test_compare_and_set_refuses_another_version_and_changes_nothing(self, store: StateStore) -> None:
        first = store.put("setting", "k", "one", expected=0)
        for wrong in (0, first + 1, 99):
            with pytest.raises(VersionConflict):
                store.put("setting", "k", "two", expected=wrong)
            with pytest.raises(VersionConflict):
                store.delete("setting", "k", expected=wrong)
        found = store.get("setting", "k")
        assert found is not None
        assert found.value == "one"
        assert store.put("setting", "k", "two", expected=first) > first

    def test_compare_and_set_on_nothing_expects_zero(self, store: StateStore) -> None:
        with pytest.raises(VersionConflict):
            store.put("setting", "k", "one", expected=1)
        with pytest.raises(VersionConflict):
            store.delete("setting", "k", expected=1)
        store.delete("setting", "k")
        store.delete("setting", "k", expected=0)
        assert store.get("setting", "k") is None

    def test_a_record_that_was_removed_and_made_anew_has_another_version(
        self, store: StateStore, tmp_path: Path, clock: FakeClock
    ) -> None:
        old = store.put("setting", "k", "one")
        store.delete("setting", "k", expected=old)
        assert store.get("setting", "k") is None
        store = self.reopened(store, tmp_path, clock)
        assert store.put("setting", "k", "two", expected=0) > old
        with pytest.raises(VersionConflict):
            store.put("setting", "k", "from the past", expected=old)
        store.close()

    def test_iteration_is_in_key_order_and_keeps_to_the_prefix(self, store: StateStore) -> None:
        keys = ["b", "a/2", "a/10", "a", "B", "a\U0010ffff", "a/é", "a%", "a_", "ab"]
        for key in keys:
            store.put("setting", key, key)
        store.put("first_seen", "a/2", FirstSeen(reference="a", at=START))
        assert [key for key, _ in store.iterate("setting")] == sorted(keys)
        for prefix in ("a", "a/", "a%", "a_", "c", "a\U0010ffff"):
            found = {key: stored.value for key, stored in store.iterate("setting", prefix)}
            assert list(found) == sorted(key for key in keys if key.startswith(prefix))
            assert all(key == value for key, value in found.items())
        assert list(store.iterate("plan")) == []

    def test_iteration_may_write_meanwhile(self, store: StateStore) -> None:
        for number in range(5):
            store.put("setting", str(number), number)
        for key, stored in store.iterate("setting"):
            store.put("setting", key, stored.value, expected=stored.version)
            store.put("setting", key + "x", 0)
        assert len(list(store.iterate("setting"))) == 10

    def test_iteration_gives_what_was_there_at_the_call(self, store: StateStore) -> None:
        for key in "abc":
            store.put("setting", key, "then")
        found = store.iterate("setting")
        store.put("setting", "b", "later")
        store.delete("setting", "c")
        store.put("setting", "d", "later")
        given = {key: stored.value for key, stored in found}
        assert given == dict.fromkeys("abc", "then"), f"what was written after the call is in it: {given}"

    def test_there_is_room_for_large_records(
        self, store: StateStore, tmp_path: Path, clock: FakeClock
    ) -> None:
        text = "é" + "x" * 300_000
        store.put("setting", "large", [text])
        store.put("snapshot", "op-1", snapshot(env=[text]))
        store = self.reopened(store, tmp_path, clock)
        for kind, key, value in (("setting", "large", [text]), ("snapshot", "op-1", snapshot(env=[text]))):
            found = store.get(kind, key)
            assert found is not None, f"a {kind} of {len(text)} characters is not there"
            assert found.value == value, f"a {kind} of {len(text)} characters is not whole"
        store.close()

    def test_a_setting_is_not_changed_by_who_reads_it(self, store: StateStore) -> None:
        given: dict[str, Any] = {"list": [1]}
        store.put("setting", "k", given)
        given["list"].append(2)
        found = store.get("setting", "k")
        assert found is not None
        assert found.value == {"list": [1]}
        assert isinstance(found.value, dict)
        found.value["list"].append(3)
        again = store.get("setting", "k")
        assert again is not None
        assert again.value == {"list": [1]}

    @pytest.mark.parametrize(
        ("kind", "key", "value"),
        [
            ("nonsense", "k", 1),
            ("asset", "k", FirstSeen(reference="a", at=START)),
            ("setting", "k", float("nan")),
            ("setting", "k", {"a": object()}),
            ("setting", "k", {1: 2}),
            ("setting", "", 1),
            ("setting", "a\0b", 1),
            ("setting", "\ud800", 1),
            ("setting", "k" * 2000, 1),
        ],
    )
    def test_what_cannot_be_stored_is_refused(
        self, store: StateStore, kind: str, key: str, value: object
    ) -> None:
        with pytest.raises(StoreError):
            store.put(kind, key, value)
        assert list(store.iterate("setting")) == []

    def test_every_kind_of_record_is_there_after_reopening(
        self, store: StateStore, tmp_path: Path, clock: FakeClock
    ) -> None:
        values = filled_records()
        assert set(values) == set(KINDS)
        versions = {kind: store.put(kind, "k", value) for kind, value in values.items()}
        store = self.reopened(store, tmp_path, clock)
        for kind, value in values.items():
            found = store.get(kind, "k")
            assert found is not None
            assert found.value == value, f"the record of kind {kind} came back otherwise than it was put"
            assert found.version == versions[kind]
            assert [key for key, _ in store.iterate(kind)] == ["k"]
        store.close()

    def test_many_records_are_written_at_once_all_or_none(
        self, store: StateStore, tmp_path: Path, clock: FakeClock
    ) -> None:
        old = store.put("asset", "a", asset("a", "1.0.0"))
        values = {name: asset(name, "2.0.0") for name in ("a", "b", "c")}
        for unfit in ({"": asset()}, {"k": FirstSeen(reference="a", at=START)}):
            with pytest.raises(StoreError):
                store.put_many("asset", {**values, **unfit})
        assert [key for key, _ in store.iterate("asset")] == ["a"]
        store.put_many("asset", values)
        store.put_many("asset", {})
        store = self.reopened(store, tmp_path, clock)
        assert {key: stored.value for key, stored in store.iterate("asset")} == values
        versions = [stored.version for _, stored in store.iterate("asset")]
        assert versions[0] > old
        assert min(versions) > 0
        store.close()

    def test_many_records_are_written_only_at_the_expected_versions(
        self, store: StateStore, tmp_path: Path, clock: FakeClock
    ) -> None:
        known = store.put("asset", "a", asset("a", "1.0.0"))
        values = {name: asset(name, "2.0.0") for name in ("a", "b", "c")}
        for wrong in ({"a": known + 1}, {"a": 0}, {"a": known, "b": 7}):
            with pytest.raises(VersionConflict):
                store.put_many("asset", values, expected=wrong)
        assert [key for key, _ in store.iterate("asset")] == ["a"]
        store.put_many("asset", values, expected={"a": known, "b": 0})
        store = self.reopened(store, tmp_path, clock)
        assert {key: stored.value for key, stored in store.iterate("asset")} == values
        store.close()

    def test_many_snapshots_are_checked_before_any_is_written(
        self, store: StateStore, tmp_path: Path, clock: FakeClock
    ) -> None:
        values = {f"op-{number}": snapshot(f"op-{number}", number=number) for number in range(3)}
        with pytest.raises(StoreError):
            store.put_many("snapshot", {**values, "": snapshot()})
        assert list(store.iterate("snapshot")) == []
        store.put_many("snapshot", values)
        store = self.reopened(store, tmp_path, clock)
        assert {key: stored.value for key, stored in store.iterate("snapshot")} == values
        store.close()
