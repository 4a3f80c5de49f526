"""References and ids: what parses, what it means, what is refused (security row A13 and its neighbours)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeupdater.domain.artifact import ChartReference, ImageReference, ResolvedImage
from safeupdater.domain.asset import STATUS_TRANSITIONS, Asset, AssetId, AssetStatus, AssetType
from safeupdater.errors import IllegalTransition, InvalidReference
from safeupdater.testing import strategies

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27", "nginx:1.27"),
        ("grafana/grafana:11.1", "docker.io/grafana/grafana:11.1", "grafana/grafana:11.1"),
        ("index.docker.io/nginx:1", "docker.io/library/nginx:1", "nginx:1"),
        ("docker.io/library/nginx:1", "docker.io/library/nginx:1", "nginx:1"),
        ("registry-1.docker.io/a/b:1", "docker.io/a/b:1", "a/b:1"),
        ("localhost/app:1", "localhost/app:1", "localhost/app:1"),
        ("localhost:5000/a:b", "localhost:5000/a:b", "localhost:5000/a:b"),
        ("[::1]:5000/a:b", "[::1]:5000/a:b", "[::1]:5000/a:b"),
        ("ghcr.io/org/app:v1", "ghcr.io/org/app:v1", "ghcr.io/org/app:v1"),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}", f"nginx@{DIGEST}"),
        (f"nginx:1.27@{DIGEST}", f"docker.io/library/nginx:1.27@{DIGEST}", f"nginx:1.27@{DIGEST}"),
        ("a/b/c__d.e-f:X_y.Z-1", "docker.io/a/b/c__d.e-f:X_y.Z-1", "a/b/c__d.e-f:X_y.Z-1"),
    ],
)
def test_a_reference_is_normalised_as_container_tools_do(text: str, canonical: str, familiar: str) -> None:
    reference = ImageReference.parse(text)
    assert (str(reference), reference.familiar) == (canonical, familiar)
    assert ImageReference.parse(str(reference)) == reference
    assert ImageReference.parse(reference.familiar) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "user@evil/..//x",
        "localhost:5000/a:b@sha256:zz",
        "UPPER/case:1",
        "a" * 300,
        "a:",
        "a@",
        ":1",
        "/a",
        "a//b",
        "a/../b",
        "nginx:1.2 3",
        "nginx:é",
        "nginx:１.２",
        "nginx:1\n",
        "nginx:\x1b[31m",
        "nginx:\ud800",
        "nginx:\x00",
        "nginx:" + "1" * 129,
        "nginx@sha256:" + "A" * 64,
        "nginx@md5:" + "a" * 32,
        "a_-b:1",
        "-a:1",
        "host:port/a:1",
        "https://nginx:1",
        "a" * 2000 + ":1",
        "nginx:1@",
        "ex ample.com/a:1",
    ],
)
def test_what_breaks_the_grammar_is_refused_without_repeating_it_raw(text: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        ImageReference.parse(text)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250


@given(st.text(max_size=80))
def test_any_text_is_a_reference_that_round_trips_or_an_invalid_reference(text: str) -> None:
    try:
        reference = ImageReference.parse(text)
    except InvalidReference:
        return
    assert ImageReference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    "text", ["nginx@1.2.3", "https://charts.example.com/nginx@1.2.3", "oci://r.io/c/x@1+b"]
)
def test_a_chart_reference_round_trips(text: str) -> None:
    assert str(ChartReference.parse(text)) == text


@pytest.mark.parametrize("text", ["nginx", "../x@1", "file:///etc/x@1", "nginx@", "nginx@1 2", "N@1"])
def test_a_bad_chart_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference):
        ChartReference.parse(text)


def test_the_same_bits_are_known_by_any_of_their_digests() -> None:
    index, platform = DIGEST, "sha256:" + "b" * 64
    resolved = ResolvedImage(
        reference=ImageReference.parse("a:1").with_digest(index), platform_digest=platform
    )
    assert resolved.digests == {index, platform}


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("docker://prod-1/web", "docker://prod-1/web"),
        ("docker://ABCD:EFGH/web", "docker://ABCD:EFGH/web"),
        ("k8s://c1/shop/deployment/web", "k8s://c1/shop/deployment/web"),
        ("k8s://c1/shop/deployment/web/nginx", "k8s://c1/shop/deployment/web"),
        ("helm://c1/shop/web", "helm://c1/shop/web"),
    ],
)
def test_an_asset_id_round_trips_and_names_its_target(text: str, target: str) -> None:
    parsed = AssetId.parse(text)
    assert (str(parsed), parsed.target) == (text, target)


@pytest.mark.parametrize(
    "text",
    ["", "web", "docker://", "docker:///web", "docker://h", "docker://h/a/b", "k8s://h/ns/kind", "ftp://h/a",
     "docker://h/../a", "docker://h/a b", "docker://h/a\n", "docker://é/a", "docker://h/" + "a" * 300],
)  # fmt: skip
def test_what_is_no_asset_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference):
        AssetId.parse(text)


@given(strategies.assets(), st.sampled_from(AssetStatus))
def test_a_status_changes_only_along_the_life_cycle(asset: Asset, status: AssetStatus) -> None:
    if status is asset.status or status in STATUS_TRANSITIONS[asset.status]:
        assert asset.with_status(status).status is status
    else:
        with pytest.raises(IllegalTransition):
            asset.with_status(status)


def test_the_life_cycle_is_closed_and_every_status_can_be_left() -> None:
    assert set(STATUS_TRANSITIONS) == set(AssetStatus)
    assert all(following - {status} for status, following in STATUS_TRANSITIONS.items())


def test_the_original_form_of_an_id_is_known() -> None:
    asset = Asset(
        id="k8s://c1/default/deployment/my-app", name="my-app", asset_type=AssetType.DEPLOYMENT,
        namespace="default", image=ImageReference.parse("nginx:1"),
    )  # fmt: skip
    assert asset.legacy_id == "deployment-my-app-default"
