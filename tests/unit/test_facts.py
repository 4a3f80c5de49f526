"""What sources of facts give, and what becomes of those that fail: the fact stays unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset, AssetType
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.update.facts import with_facts

OLD, NEW = ImageReference.parse("nginx:1.27.0"), ImageReference.parse("nginx:1.27.1")
WEB = Asset(id="docker://local/web", name="web", asset_type=AssetType.CONTAINER, image=OLD)
PATCH = Change(asset_id=WEB.id, current=OLD, new=NEW, change_type=VersionChangeType.PATCH)
CANDIDATE = Candidate(asset=WEB, change=PATCH)


@attrs.define
class Source:
    provides: Any
    found: Any
    asked: int = 0

    def facts(self, candidate: Candidate) -> Mapping[str, object]:
        self.asked += 1
        if isinstance(self.found, Exception):
            raise self.found
        given: Mapping[str, object] = self.found
        return given


class Unreadable(Source):
    @property
    def provides(self) -> Any:  # type: ignore[override]
        raise ValueError("hunter2")

    @provides.setter
    def provides(self, value: Any) -> None: ...


def known(*sources: Source, needs: frozenset[str] = frozenset({"mood", "owner"})) -> Mapping[str, object]:
    facts = with_facts(CANDIDATE, sources, needs).facts
    return {**facts.extra, **({"owner": facts.owner} if facts.owner is not None else {})}


def test_needed_facts_are_taken_and_no_others() -> None:
    assert known(Source({"mood", "owner"}, {"mood": "good", "owner": "helm", "weight": 3})) == {
        "mood": "good", "owner": "helm",
    }  # fmt: skip


def test_a_source_that_provides_nothing_needed_is_not_asked() -> None:
    source = Source(frozenset({"weight"}), {"weight": 3})
    assert known(source) == {}
    assert source.asked == 0


@pytest.mark.parametrize(
    "broken",
    [
        Source(frozenset({"mood"}), ValueError("hunter2")),
        Source(frozenset({"mood"}), None),
        Source(frozenset({"mood"}), 3),
        Source(frozenset({"mood"}), "mood"),
        Source(None, {"mood": "good"}),
        Unreadable(None, {"mood": "good"}),
    ],
)
def test_a_source_that_fails_leaves_its_facts_unknown_and_the_others_known(broken: Source) -> None:
    assert known(broken) == {}
    assert known(broken, Source(frozenset({"owner"}), {"owner": "helm"})) == {"owner": "helm"}
