"""Whatever a registry or a file says, a parser gives a value or our own error, and soon."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from safeupdater.errors import RegistryError
from safeupdater.registries.oci import Platform
from safeupdater.registries.oci.auth import parse_challenge
from safeupdater.registries.oci.credentials import DockerConfig
from safeupdater.registries.oci.failures import error_codes, retry_after_s
from safeupdater.registries.oci.manifests import creation_time
from safeupdater.registries.oci.paging import next_link
from safeupdater.registries.oci.session import parse_rate_limit
from safeupdater.registries.oci.settings import Limits, normalized_host

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LIMITS = Limits()
# Text made of the pieces that the grammars are made of reaches deeper than any text.
PIECES = st.lists(
    st.sampled_from(
        ["Bearer", "Basic", "realm", "=", '"', "\\", ",", ";", " ", "<", ">", "rel", "next", "/v2/", "?", "w"]
    )
    | st.text(max_size=4),
    max_size=40,
).map("".join)


@given(PIECES)
def test_a_challenge_is_basic_bearer_or_nothing(header: str) -> None:
    challenge = parse_challenge(header)
    assert challenge is None or challenge.scheme in ("basic", "bearer")


@given(PIECES)
def test_a_link_is_a_target_nothing_or_an_error(header: str) -> None:
    try:
        link = next_link(header)
    except RegistryError:
        return
    assert link is None or f"<{link}>" in header
    assert link is not None or "next" not in header


@given(
    st.from_regex(r"</[a-z?=&]{0,20}>", fullmatch=True),
    st.sampled_from(['rel="next"', "rel=next", 'REL="NEXT"']),
)
def test_a_proper_link_is_always_found(target: str, relation: str) -> None:
    assert next_link(f'</first>; rel="first", {target} ; title="x" ; {relation}') == target[1:-1]


@given(st.text(max_size=80) | st.integers().map(str) | st.datetimes().map(str))
def test_retry_after_is_always_within_its_bounds(header: str) -> None:
    wait_s = retry_after_s(header, LIMITS, NOW)
    assert wait_s is not None
    assert LIMITS.retry_after_min_s <= wait_s <= LIMITS.retry_after_max_s


@given(st.text(max_size=40), st.none() | st.text(max_size=40))
def test_an_allowance_is_numbers_or_unknown(limit: str, remaining: str | None) -> None:
    parsed = parse_rate_limit(limit, remaining)
    assert all(count is None or count >= 0 for count in (parsed.limit, parsed.remaining, parsed.window_s))


@given(st.text(max_size=60))
def test_a_creation_time_is_in_the_past_and_plausible(text: str) -> None:
    moment = creation_time(text, NOW)
    assert moment is None or moment.year > 1980


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=16_000)).map(lambda age: NOW - age))
def test_every_plausible_creation_time_is_read(moment: datetime) -> None:
    assert creation_time(moment.isoformat().replace("+00:00", "Z"), NOW) == moment


@given(st.binary(max_size=200))
def test_error_bodies_give_codes_in_capitals_only(body: bytes) -> None:
    assert all(code.replace("_", "A").isupper() for code in error_codes(body))


@given(st.text(max_size=200))
def test_a_docker_config_is_read_or_refused(text: str) -> None:
    try:
        config = DockerConfig(text.encode(errors="replace"))
    except RegistryError:
        return
    assert config.for_registry("registry.example") is None


@given(st.text(max_size=60))
def test_a_platform_is_read_or_refused_and_its_text_is_itself(text: str) -> None:
    try:
        platform = Platform.parse(text)
    except RegistryError:
        return
    assert Platform.parse(str(platform)) == platform
    assert platform in platform.accepted()


@given(st.text(max_size=60))
@example("0\r/")
def test_a_normalised_host_stays_as_it_is(key: str) -> None:
    host = normalized_host(key)
    assert host is None or normalized_host(host) == host
