"""Texts that mean something to SQL, to a file system or to a terminal; a store must only keep them."""

from __future__ import annotations

from datetime import timedelta

import attrs

from safeupdater.domain.operation import Finished, Outcome
from safeupdater.errors import StoreError
from safeupdater.protocols import StateStore
from safeupdater.testing.stores import DONE, INTENDED, START, asset, planned, snapshot

HOSTILE = (
    "'", '"', "''", "`", ";", "--", "/*", "\\", "\\'", "%", "_", "?", ":kind", ":of_key", "%s", "%(key)s",
    "$1", "'; DROP TABLE safeupdater_journal; --", "' OR '1'='1", '" OR ""="', "') UNION SELECT 1,2,3 --",
    "x'; UPDATE safeupdater_records SET body='{}' WHERE '1'='1", "\u02bc OR 1=1", "a\nb", "\r\n", "\x1b[2J",
    "../../../../etc/passwd", "/etc/passwd", "..", ".", "~root", "a/../../b", "C:\\x", "con", "-rf", "*",
    "a\u202eb", "\U0010ffff", "\ud7ff", "é", "e\u0301", "%00", "{}", "NULL", "x" * 1024,
)  # fmt: skip
"""Every one is a valid key."""


def keep_and_forget(store: StateStore, text: str) -> None:
    """Uses a text in every place that takes one; nothing else may be read, changed or removed by it."""
    bystander = (store.put("setting", "bystander", 1), store.get("setting", "bystander"))
    _as_record_key(store, text)
    _as_operation(store, text)
    _as_lease(store, text)
    assert (bystander[0], store.get("setting", "bystander")) == bystander


def _as_record_key(store: StateStore, text: str) -> None:
    store.put("asset", text, attrs.evolve(asset(), name=text, labels={text: text}))
    store.put("snapshot", text, snapshot(env=[text]))
    store.put("setting", text, {"value": text})
    for kind in ("asset", "snapshot", "setting"):
        found = store.get(kind, text)
        assert found is not None
        keys = [key for key, _ in store.iterate(kind, text)]
        assert text in keys
        assert all(key.startswith(text) for key in keys), f"{keys} do not begin with {text!a}"
    assert store.get("setting", text).value == {"value": text}  # type: ignore[union-attr]
    assert store.get("snapshot", text).value == snapshot(env=[text])  # type: ignore[union-attr]
    for kind in ("asset", "snapshot", "setting"):
        store.delete(kind, text)
        assert store.get(kind, text) is None


def _as_operation(store: StateStore, text: str) -> None:
    opened = attrs.evolve(
        planned(), operation_id=text, target_id=text, planned=attrs.evolve(planned().planned, target_id=text)
    )
    events = [opened, INTENDED, attrs.evolve(DONE, detail=text)]
    store.append(text, events, expected_version=0, at=START)
    assert [entry.event for entry in store.load(text)] == events
    assert text in [opened.operation_id for opened in store.unfinished()]
    ended = Finished(outcome=Outcome.ABORTED, message=text)
    store.append(text, [ended], expected_version=3, at=START)
    kept = store.prune(START + timedelta(days=1), keep_per_target=0, keep=[text])
    assert (kept, len(store.load(text))) == (0, 4)
    assert store.prune(START + timedelta(days=1), keep_per_target=0) == 1
    assert store.load(text) == ()


def _as_lease(store: StateStore, text: str) -> None:
    lease = store.acquire(text, text, 60)
    assert lease is not None
    assert (lease.key, lease.holder) == (text, text)
    assert store.acquire(text, "another", 60) is None
    store.release(store.renew(lease, 60))


def is_refused(store: StateStore, text: str) -> bool:
    """Whether a key is refused as what it is, and nothing else happens."""
    try:
        store.put("setting", text, 1)
    except StoreError as error:
        return error.code == "invalid_key"
    return False
