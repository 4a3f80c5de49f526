"""The policy in words that an operation journals holds nothing that people write secrets into."""

from __future__ import annotations

import json
from typing import Any

from safeupdater.codec import encode
from safeupdater.domain.operation import OperationPlanned
from tests.support.engine import Bench, policy_with

SECRET = "hunter2-planted"
POLICY: dict[str, Any] = policy_with(
    hooks=[
        {"name": "dump", "point": "before_switch", "command": ["dump", f"--password={SECRET}"]},
        {"name": "warm", "point": "after_commit", "command": [SECRET]},
    ],
    health={
        "checks": [
            {"type": "http", "port": 80, "headers": {"Authorization": f"Bearer {SECRET}"}},
            {"type": "exec", "argv": ["check", SECRET]},
        ]
    },
)


def opened_under(policy: dict[str, Any] | None = None) -> OperationPlanned:
    bench = Bench(policy)
    (entry,) = bench.store.load(bench.open())
    assert isinstance(entry.event, OperationPlanned)
    return entry.event


def test_the_policy_in_words_holds_no_command_and_no_option() -> None:
    words = opened_under(POLICY).settings.policy
    assert SECRET not in json.dumps(dict(words))
    assert [hook["name"] for hook in words["hooks"]] == ["dump", "warm"]  # type: ignore[attr-defined]
    kinds = [check["type"] for check in words["health"]["checks"]]  # type: ignore[index]
    assert kinds == ["http", "exec"]
    assert words["health"]["window"] == "30s"  # type: ignore[index]


def test_what_has_to_be_run_is_kept_once_and_in_no_repr() -> None:
    opened = opened_under(POLICY)
    assert SECRET not in repr(opened)
    assert opened.settings.hooks[1].argv == (SECRET,)
    assert json.dumps(encode(opened)).count(SECRET) == 4


def test_a_policy_without_any_is_kept_as_it_is() -> None:
    bench = Bench()
    words = bench.policy.defaults().settings.policy
    (entry,) = bench.store.load(bench.open())
    assert entry.event.settings.policy == words
