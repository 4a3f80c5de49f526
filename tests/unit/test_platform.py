"""Which image runs on which machine, and for which platform one is chosen in another's place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeupdater.domain.platform import Platform


def of(text: str) -> Platform:
    return Platform.parse(text if text.startswith("windows/") else f"linux/{text}")


# fmt: off
IN_PLACE_OF = [
    # machine          runs now    chosen for  fits                         does not
    ("arm/v7",         "arm/v6",   "arm/v7",   "arm/v7 arm/v6 arm/v5 arm",   "arm/v8 arm64 amd64"),
    ("arm/v7",         "arm/v7",   "arm/v7",   "arm/v7 arm/v6",              "arm/v8"),
    ("arm/v7",         "arm",      "arm/v7",   "arm/v7 arm/v6",              "arm/v8"),
    ("arm/v8",         "arm/v5",   "arm/v8",   "arm/v8 arm/v7 arm/v6 arm/v5", "arm64"),
    ("arm/v6",         "arm/v6",   "arm/v6",   "arm/v6 arm/v5",              "arm/v7 arm"),
    ("arm/v6",         "arm/v5",   "arm/v6",   "arm/v6 arm/v5",              "arm/v7"),
    ("arm/v6",         "arm",      "arm/v6",   "arm/v6 arm/v5",              "arm/v7"),
    ("arm/v7",         "arm64",    "arm64",    "arm64 arm64/v8",             "arm/v7"),
    ("arm64",          "arm64/v8", "arm64",    "arm64 arm64/v8",             "arm/v7 amd64"),
    ("arm64",          "amd64",    "amd64",    "amd64 amd64/v1",             "arm64 amd64/v2 386"),
    ("arm64",          "arm/v6",   "arm/v6",   "arm/v6 arm/v5",              "arm/v7 arm64"),
    ("amd64",          "arm/v6",   "arm/v6",   "arm/v6 arm/v5",              "arm/v7 amd64"),
    ("amd64",          "amd64/v2", "amd64/v2", "amd64/v2 amd64",             "amd64/v3 arm64"),
    ("amd64",          "386",      "386",      "386",                        "amd64"),
    ("windows/arm/v7", "arm/v6",   "arm/v6",   "arm/v6",                     "arm/v7"),
]
# fmt: on


@pytest.mark.parametrize(("machine", "running", "chosen", "fit", "unfit"), IN_PLACE_OF)
def test_only_32_bit_arm_moves_to_the_machines_own_variant(
    machine: str, running: str, chosen: str, fit: str, unfit: str
) -> None:
    wanted = of(machine).in_place_of(of(running))
    assert wanted == of(chosen)
    assert [text for text in fit.split() if not wanted.runs(of(text))] == []
    assert [text for text in unfit.split() if wanted.runs(of(text))] == []


PLATFORMS = st.builds(
    Platform.of,
    st.sampled_from(["linux", "windows"]),
    st.sampled_from(["amd64", "arm64", "arm", "386", "s390x", "armv6l", "aarch64"]),
    st.sampled_from(["", "v1", "v2", "v5", "v6", "v7", "v8", "v9"]),
)


@given(machine=PLATFORMS, running=PLATFORMS)
def test_an_architecture_never_changes(machine: Platform, running: Platform) -> None:
    chosen = machine.in_place_of(running)
    for fit in chosen.accepted():
        assert (fit.os, fit.architecture) == (running.os, running.architecture)
    assert machine.in_place_of(chosen) == chosen
