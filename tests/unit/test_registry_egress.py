"""The egress rules as tables: which URLs are read, which addresses are reached, who gets credentials."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeupdater.registries.oci.egress import (
    EgressDenied,
    Origin,
    Reach,
    check_addresses,
    check_next_page,
    check_redirect,
    check_token_realm,
    classify_address,
    may_have_credentials,
    parse_url,
    reach_of_registry,
)

REGISTRY = Origin("https", "registry.example.com", 443)


@pytest.mark.parametrize(
    "text",
    [
        r"https://good\@evil.example/",
        r"https://evil.example\@good.example/",
        "https://user:secret@evil.example/",
        "https://good.example@evil.example/",
        "https://evil.example#@good.example/",
        "https://evil%2eexample/",
        "https://exämple.org/",
        "https://good.example/\r\nHost: evil",
        "https://good.example/a b",
        "https://good.example/a\tb",
        "https://good.example\x00.evil/",
        "//evil.example/",
        "ftp://good.example/",
        "file:///etc/passwd",
        "https:good.example",
        "https:///path",
        "https://good..example/",
        "https://-good.example/",
        "https://good.example:99999/",
        "https://good.example:0/",
        "https://good.example:/",
        "https://127.1/",
        "https://0x7f.1/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://017700000001/",
        "https://127.0.0.01/",
        "https://1.2.3.4.5/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://" + "a" * 9000,
        "",
    ],
)  # fmt: skip
def test_a_url_that_parsers_could_read_differently_is_refused(text: str) -> None:
    with pytest.raises(EgressDenied) as raised:
        parse_url(text)
    assert "secret" not in str(raised.value)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("text", "origin", "target"),
    [
        ("https://auth.docker.io/token", Origin("https", "auth.docker.io", 443), "/token"),
        ("http://127.0.0.1:5000", Origin("http", "127.0.0.1", 5000), "/"),
        ("https://[::1]:5000/v2/", Origin("https", "[::1]", 5000), "/v2/"),
        ("https://S3.Example/b%2Fc?X=%2fy&z=[1]", Origin("https", "s3.example", 443), "/b%2Fc?X=%2fy&z=[1]"),
    ],
)
def test_a_plain_url_is_taken_apart_and_kept_verbatim(text: str, origin: Origin, target: str) -> None:
    url = parse_url(text)
    assert (url.origin, url.target) == (origin, target)


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_a_clear_refusal(text: str) -> None:
    for candidate in (text, f"https://{text}", f"https://good.example/{text}"):
        try:
            url = parse_url(candidate)
        except EgressDenied:
            continue
        assert candidate.lower().startswith(f"{url.origin.scheme}://{url.origin.host}")


PUBLIC, PRIVATE, LOOPBACK, FORBIDDEN = Reach.PUBLIC, Reach.PRIVATE, Reach.LOOPBACK, Reach.FORBIDDEN


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("93.184.216.34", PUBLIC),
        ("2606:2800:220:1::1", PUBLIC),
        ("10.1.2.3", PRIVATE),
        ("172.31.255.255", PRIVATE),
        ("192.168.0.1", PRIVATE),
        ("100.64.0.1", PRIVATE),
        ("fd12::1", PRIVATE),
        ("127.0.0.1", LOOPBACK),
        ("127.8.9.10", LOOPBACK),
        ("::1", LOOPBACK),
        ("::ffff:127.0.0.1", LOOPBACK),
        ("169.254.169.254", FORBIDDEN),
        ("fd00:ec2::254", FORBIDDEN),
        ("fe80::1", FORBIDDEN),
        ("100.100.100.200", FORBIDDEN),
        ("168.63.129.16", FORBIDDEN),
        ("192.0.0.192", FORBIDDEN),
        ("::ffff:169.254.169.254", FORBIDDEN),
        ("64:ff9b::a9fe:a9fe", FORBIDDEN),
        ("64:ff9b::7f00:1", LOOPBACK),
        ("64:ff9b::5db8:d822", PUBLIC),
        ("2002:7f00:1::", FORBIDDEN),
        ("2002:5db8:d822::", FORBIDDEN),
        ("2001:0:53aa:64c::1", FORBIDDEN),
        ("::7f00:1", FORBIDDEN),
        ("0.0.0.0", FORBIDDEN),
        ("::", FORBIDDEN),
        ("224.0.0.1", FORBIDDEN),
        ("ff02::1", FORBIDDEN),
        ("240.0.0.1", FORBIDDEN),
        ("255.255.255.255", FORBIDDEN),
        ("192.0.2.1", FORBIDDEN),
        ("198.18.0.1", FORBIDDEN),
    ],
)
def test_every_kind_of_address_is_known(address: str, kind: Reach) -> None:
    assert classify_address(ipaddress.ip_address(address)) is kind


def test_one_bad_address_spoils_a_name() -> None:
    allowed = frozenset({PUBLIC})
    check_addresses("good.example", ["93.184.216.34"], allowed)
    for addresses in (["93.184.216.34", "169.254.169.254"], ["10.0.0.1"], ["nonsense"], []):
        with pytest.raises(EgressDenied):
            check_addresses("bad.example", addresses, allowed)


def test_a_registry_is_on_loopback_only_by_name_or_by_declaration() -> None:
    assert reach_of_registry(Origin("http", "localhost", 5000), declared=False) == {LOOPBACK}
    assert LOOPBACK not in reach_of_registry(REGISTRY, declared=False)
    assert LOOPBACK in reach_of_registry(REGISTRY, declared=True)


@pytest.mark.parametrize(
    ("registry", "realm", "allowed"),
    [
        ("https://registry.example.com", "https://registry.example.com/token", True),
        ("https://registry-1.docker.io", "https://auth.docker.io/token", True),
        ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", True),
        ("https://registry.example.com", "https://auth.example.com/token", True),
        ("https://registry.example.co.uk", "https://auth.example.co.uk/", True),
        ("https://registry.example.com", "https://auth.evil.com/token", False),
        ("https://registry.example.com", "https://registry.example.com.evil.org/", False),
        ("https://registry.example.com", "https://evilexample.com/", False),
        ("https://example.com", "https://evil.com/", False),
        ("https://shop.co.uk", "https://evil.co.uk/", False),
        ("https://mine.azurecr.io", "https://evil.azurecr.io/", False),
        ("https://1.dkr.ecr.eu-west-1.amazonaws.com", "https://evil.eu-west-1.amazonaws.com/", False),
        ("https://gcr.io", "https://evil.io/", False),
        ("https://registry.example.com", "https://registry.example.com:8443/token", False),
        ("https://registry.example.com", "http://registry.example.com/token", False),
        ("https://10.0.0.1", "https://9.0.0.1/", False),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000/token", True),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", False),
        (
            "https://1.dkr.ecr.us-east-1.amazonaws.com",
            "https://2.dkr.ecr.us-east-1.amazonaws.com/token",
            False,
        ),
        ("https://mine.region.azurecr.io", "https://other.region.azurecr.io/token", False),
    ],
)
def test_credentials_go_only_to_whom_they_are_for(registry: str, realm: str, allowed: bool) -> None:
    target, origin = parse_url(realm).origin, parse_url(registry).origin
    assert may_have_credentials(target, origin, frozenset()) is allowed
    assert may_have_credentials(target, origin, frozenset({target.netloc}))


def test_a_token_is_never_fetched_over_plain_http_for_an_https_registry() -> None:
    with pytest.raises(EgressDenied, match="plain HTTP"):
        check_token_realm(parse_url("http://registry.example.com/token"), REGISTRY, plain_http=True)
    plain = Origin("http", "registry.lan", 80)
    with pytest.raises(EgressDenied, match="plain HTTP"):
        check_token_realm(parse_url("http://evil.example/token"), plain, plain_http=False)
    check_token_realm(parse_url("http://registry.lan/token"), plain, plain_http=False)


@pytest.mark.parametrize(
    "link",
    [
        "https://169.254.169.254/v2/app/tags/list",
        "https://evil.example/v2/app/tags/list?last=b",
        "http://registry.example.com/v2/app/tags/list",
        "https://registry.example.com:8443/v2/app/tags/list",
        "/v2/other/tags/list",
        "/v2/app/tags/list/../../../other",
        "/latest/meta-data/",
    ],
)
def test_a_listing_continues_only_within_itself(link: str) -> None:
    page = parse_url("https://registry.example.com/v2/app/tags/list?n=2")
    with pytest.raises(EgressDenied):
        check_next_page(page.join(link), page, "app")
    for good in ("?last=b", "/v2/app/tags/list?next_page=x%2fy", f"{REGISTRY}/v2/app/tags/list?last=b"):
        check_next_page(page.join(good), page, "app")


def test_a_redirect_never_weakens_the_transport() -> None:
    secure, plain = parse_url("https://registry.example.com/a"), parse_url("http://127.0.0.1:5000/a")
    check_redirect(parse_url("https://cdn.example/b"), secure)
    check_redirect(parse_url("http://127.0.0.1:5000/b"), plain)
    for target, source in (("http://registry.example.com/a", secure), ("http://cdn.example/", plain)):
        with pytest.raises(EgressDenied):
            check_redirect(parse_url(target), source)


def test_an_error_never_shows_a_signed_query() -> None:
    assert str(parse_url("https://s3.example/blob?X-Signature=s3cr3t")) == "https://s3.example/blob"
