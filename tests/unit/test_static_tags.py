"""StaticTags and StaticFacts: what was given comes back, and nothing is made up."""

from __future__ import annotations

import doctest

import pytest

from safeupdater.domain.artifact import ChartReference, ImageReference
from safeupdater.domain.asset import Asset, AssetType
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.errors import InvalidReference, RateLimited, RegistryError
from safeupdater.protocols import FactSource, TagSource
from safeupdater.registries import static
from safeupdater.registries.static import StaticFacts, StaticTags

DIGEST = "sha256:" + "a" * 64
NGINX = ImageReference.parse("nginx:1.27.0")


def test_short_and_full_names_are_the_same_repository() -> None:
    for name in ("nginx", "library/nginx", "docker.io/nginx", "docker.io/library/nginx"):
        source: TagSource = StaticTags({name: ["1.27.0", "1.27.1"]})
        assert source.get_available_tags(NGINX) == ("1.27.0", "1.27.1"), name


def test_a_chart_is_looked_up_by_its_name() -> None:
    chart = ChartReference(name="podinfo", version="6.7.0", repository="https://charts.example")
    source = StaticTags({"podinfo": ["6.7.0", "6.7.1"]})
    assert source.get_available_tags(chart) == ("6.7.0", "6.7.1")
    assert source.lookup_many([chart]) == {"podinfo": ("6.7.0", "6.7.1")}


def test_an_unknown_repository_is_an_error_and_never_an_empty_list() -> None:
    with pytest.raises(RegistryError, match="not among the given tags") as raised:
        StaticTags({}).get_available_tags(NGINX)
    assert raised.value.code == "not_found"


def test_a_declared_digest_pins_the_reference() -> None:
    resolved = StaticTags({"nginx": ["1.27.0"]}, digests={"nginx:1.27.0": DIGEST}).resolve(NGINX)
    assert resolved.reference == NGINX.with_digest(DIGEST)
    assert resolved.digests == {DIGEST}


def test_a_digest_alone_makes_a_tag_resolvable() -> None:
    assert StaticTags({}, digests={"nginx:1.27.0": DIGEST}).resolve(NGINX).digests == {DIGEST}


def test_no_digest_is_made_up() -> None:
    resolved = StaticTags({"nginx": ["1.27.0"]}).resolve(NGINX)
    assert resolved.reference == NGINX
    assert resolved.digests == frozenset()


def test_a_missing_tag_does_not_resolve() -> None:
    with pytest.raises(RegistryError, match=r"docker\.io/library/nginx:1\.27\.0 is not among"):
        StaticTags({"nginx": ["1.26.0"]}).resolve(NGINX)


def test_a_pinned_reference_is_its_own_answer() -> None:
    pinned = NGINX.with_digest(DIGEST)
    assert StaticTags({}).resolve(pinned).reference == pinned


def test_a_declared_failure_stands_in_the_place_of_an_answer() -> None:
    limited = RateLimited("come back in 60 s", retry_after_s=60)
    source = StaticTags({"nginx": ["1.27.0"], "redis": ["7.4.0"]}, failures={"nginx": limited})
    redis = ImageReference.parse("redis:7.4.0")
    assert source.lookup_many([NGINX, redis]) == {NGINX.name: limited, redis.name: ("7.4.0",)}
    assert source.resolve_many([NGINX]) == {str(NGINX): limited}
    for pinned in (NGINX, NGINX.with_digest(DIGEST)):
        with pytest.raises(RateLimited):
            source.resolve(pinned)


@pytest.mark.parametrize(
    ("tags", "digests"),
    [
        ({"nginx:1.27": ["1"]}, {}),
        ({"NGINX": ["1"]}, {}),
        ({f"nginx@{DIGEST}": ["1"]}, {}),
        ({"": ["1"]}, {}),
        ({}, {"nginx": DIGEST}),
        ({}, {"localhost:5000/app": DIGEST}),
        ({}, {"nginx:1": "sha256:short"}),
    ],
)
def test_names_and_digests_are_checked_when_they_are_given(
    tags: dict[str, list[str]], digests: dict[str, str]
) -> None:
    with pytest.raises(InvalidReference):
        StaticTags(tags, digests=digests)


def test_a_text_in_the_place_of_a_list_is_refused() -> None:
    with pytest.raises(TypeError, match="expected a list"):
        StaticTags({"nginx": "1.27.0"})


def test_registries_with_a_port_are_not_mistaken_for_tags() -> None:
    source = StaticTags({"localhost:5000/app": ["1.0.0"]}, digests={"localhost:5000/app:1.0.0": DIGEST})
    assert source.resolve(ImageReference.parse("localhost:5000/app:1.0.0")).digests == {DIGEST}


def test_facts_are_given_for_the_new_version_only() -> None:
    source: FactSource = StaticFacts({"nginx:1.27.1": {"owner": "web", "score": 3}})
    assert source.provides == {"owner", "score"}
    assert source.facts(_candidate("1.27.1")) == {"owner": "web", "score": 3}
    assert source.facts(_candidate("1.27.2")) == {}


def test_the_examples_in_the_docstrings_run() -> None:
    assert doctest.testmod(static).failed == 0


def _candidate(tag: str) -> Candidate:
    asset = Asset(id="docker://local/web", name="web", asset_type=AssetType.CONTAINER, image=NGINX)
    change = Change(
        asset_id=asset.id, current=NGINX, new=NGINX.with_tag(tag), change_type=VersionChangeType.PATCH
    )
    return Candidate(asset=asset, change=change)
