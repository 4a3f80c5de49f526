"""That implementations satisfy the ports, as type checkers see it, and what the deciding parts give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_type

from safeupdater import AbortAnswer, OperationResult, Outlook, Plan, Preview, Updater
from safeupdater.analysis import Selection, SemVerAnalyzer, VersionRange
from safeupdater.backends.docker import DockerBackend
from safeupdater.backends.memory.backend import MemoryBackend
from safeupdater.domain.change import VersionChangeType
from safeupdater.domain.decision import Decision
from safeupdater.domain.version import Version
from safeupdater.gates.diffgate import DiffGate
from safeupdater.observers.webhook import WebhookNotifier
from safeupdater.protocols import (
    Backend,
    Gate,
    IdentifiedRuntime,
    JournalReader,
    MeasuredStore,
    Observer,
    RemoteStore,
    StateStore,
    TagSource,
)
from safeupdater.registries.static import StaticTags
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.stores.memory import MemoryStore
from safeupdater.stores.sql import SqlStore


def telling(webhook: WebhookNotifier) -> None:
    """Never called, like the next."""
    _observer: Observer = webhook
    _reader: JournalReader = webhook


def conforming(
    memory: MemoryStore, json: JsonFileStore, sql: SqlStore, tags: StaticTags, backend: MemoryBackend
) -> None:
    """Never called: that it passes the type checkers is the test."""
    _in_memory: StateStore = memory
    _in_files: StateStore = json
    _measured: MeasuredStore = json
    _remote: RemoteStore = sql
    _source: TagSource = tags
    _runtime: Backend = backend


def identified(backend: DockerBackend) -> None:
    """Never called, like the one before."""
    _runtime: Backend = backend
    _told_apart: IdentifiedRuntime = backend


def asking(updater: Updater, plan: Plan) -> None:
    """Never called either."""
    assert_type(updater.preview(plan, targets=["docker://local/web"]), tuple[Preview, ...])
    assert_type([preview.outlook for preview in updater.preview(plan)], list[Outlook])
    answer = updater.abort("docker://local/web", by="ada")
    assert_type(answer, AbortAnswer)
    assert_type((answer.stops, answer.code, answer.message), tuple[bool, str, str])
    assert_type(updater.rollback("docker://local/web", by="ada", to="1.0.0"), OperationResult)


def test_the_analyzer_gives_versions_or_none() -> None:
    analyzer = SemVerAnalyzer()
    assert_type(analyzer.parse_version("1.2.3"), Version | None)
    assert_type(analyzer.determine_change_type("1.2.3", "1.3.0"), VersionChangeType)
    selection = analyzer.find_update("1.2.3", ["1.2.4"])
    assert_type(selection, Selection)
    assert_type(selection.tag, str | None)
    assert_type(VersionRange.parse("^1.2"), VersionRange)


def test_a_diff_gate_is_a_gate_and_gives_decisions() -> None:
    diff_gate = DiffGate(lambda candidate: True)
    as_gate: Gate = diff_gate
    assert_type(as_gate.needs, frozenset[str])
    assert_type(diff_gate.evaluate_update("1.2.3", "1.2.4"), Decision)


def test_lookups_give_an_answer_or_an_error_by_name() -> None:
    tags = StaticTags({"nginx": ["1.27.0"]})
    answers: Mapping[str, object] = tags.lookup_many([])
    assert answers == {}
