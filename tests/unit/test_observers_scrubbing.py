"""Secrets as values, and taking them out of logs, crash reports and what the command line says."""

from __future__ import annotations

import base64
import copy
import io
import json
import logging
import pickle
import re
import sys
import traceback
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeupdater.domain.secret import Secret
from safeupdater.errors import SafeUpdaterError
from safeupdater.observers.logging import FieldsFormatter, ScrubbingFilter
from safeupdater.observers.scrubbing import Scrubber, secrets_in
from safeupdater.registries.oci import Credentials
from safeupdater.registries.oci.credentials import stored_secrets
from tests.support.cli import Shell
from tests.support.planted import found_in

SECRETS = tuple(f"hunter{number:02d}-Zq9/{number}+é~" for number in range(20))
URL = f"https://u:{urllib.parse.quote(SECRETS[1], safe='')}@h/"
SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "in a URL": lambda secret: urllib.parse.quote(secret, safe=""),
    "in a path": urllib.parse.quote,
    "in a form": urllib.parse.quote_plus,
    "in a URL, small": lambda secret: re.sub("%..", lambda code: code[0].lower(), urllib.parse.quote(secret)),
    "in JSON": json.dumps,
    "in repr": repr,
    "in hexadecimal": lambda secret: secret.encode().hex(),
    "in base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "in a login": lambda secret: base64.b64encode(f"user:{secret}".encode()).decode(),
    "in a URL's base64": lambda secret: base64.urlsafe_b64encode(f"ab{secret}!".encode()).decode(),
}


# --- a secret as a value ----------------------------------------------------------------------------------


def test_a_secret_shows_itself_to_nothing_but_reveal() -> None:
    secret = Secret("hunter2")
    holder = attrs.make_class("Holder", ["secret"])(secret)
    shown = [str(secret), repr(secret), f"{secret}", f"{secret:>9}", "%s %r" % (secret, secret)]  # noqa: UP031
    shown += [repr([secret]), repr(holder), str(attrs.asdict(holder)), str(vars(logging.makeLogRecord({})))]
    assert found_in("".join(shown), ["hunter2"]) == []
    assert secret.reveal() == "hunter2"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_not_written_down(protocol: int) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret("hunter2"), protocol)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Credentials(username="ci", password="hunter2"), protocol)
    with pytest.raises(TypeError):
        json.dumps(Secret("hunter2"))


def test_secrets_are_compared_copied_and_hashed_as_values() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret(b"b")}) == 2
    assert copy.deepcopy(Secret(b"a")) == Secret(b"a")
    assert (bool(Secret("")), bool(Secret("a"))) == (False, True)


def test_a_login_takes_text_and_shows_none_of_it() -> None:
    login = Credentials(username="ci", password="hunter2", identity_token=Secret("hunter3"))
    assert login == Credentials(username="ci", password=Secret("hunter2"), identity_token="hunter3")
    assert login.basic_header().reveal() == "Basic Y2k6aHVudGVyMg=="
    assert found_in(f"{login} {login!r} {login.basic_header()}", ["hunter2", "hunter3"]) == []


# --- texts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_known_secret_is_taken_out_however_it_is_spelt(spelling: str) -> None:
    scrubber = Scrubber([*SECRETS[:10], *(Secret(secret) for secret in SECRETS[10:])])
    for secret in SECRETS:
        text = f"before {SPELLINGS[spelling](secret)} after"
        clean = scrubber.text(text)
        assert SPELLINGS[spelling](secret).strip("'\"") in text, "the test can find it"
        assert found_in(clean, [secret]) == []
        assert SPELLINGS[spelling](secret).strip("'\"") not in clean
        assert (clean.startswith("before "), clean.endswith(" after")) == (True, True)


@given(st.text(min_size=6), st.binary(max_size=7), st.binary(max_size=7))
def test_any_secret_is_taken_out_of_any_base64_around_it(secret: str, before: bytes, after: bytes) -> None:
    data = secret.encode("utf-8", "surrogatepass")
    scrubber = Scrubber([data])
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(before + data + after).decode()
        left = scrubber.text(text)
        assert "***" in left
        # Only what encodes bytes around the secret is left: no four characters hold three bytes of it.
        assert len(left.replace("***", "").rstrip("=")) * 6 <= (len(before) + len(after)) * 8 + 12


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("cannot open postgresql://me:hunter2@db/state", "cannot open postgresql://***@db/state"),
        ("{'Authorization': 'Basic bWU6aHVudGVyMg=='}", "{'Authorization': '***'}"),
        ("header: authorization: Bearer abc.def\r\n", "header: authorization: ***\r\n"),
        ("[('X-Registry-Auth', 'eyJ1Ijo=')]", "[('X-Registry-Auth', '***')]"),
        ("sent bearer eyJhbGciOiJIUzI1NiJ9.e30", "sent bearer ***"),
        ("Set-Cookie: sid=1; Path=/", "Set-Cookie: ***; Path=/"),
    ],
)
def test_a_login_is_taken_out_by_its_form(text: str, clean: str) -> None:
    assert Scrubber().text(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "registry.example wants Basic authentication",
        "docker://prod-1/web runs example/web:1.2.3@sha256:" + "ab" * 32,
        "see https://example.com/@scope/package and git@example.com:team/app",
        "update_decision asset=docker://prod-1/web decision=approve",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Scrubber(SECRETS).text(text) == text


def test_what_is_too_short_to_tell_from_words_is_left() -> None:
    assert Scrubber(["", "web"]).text("the web is up") == "the web is up"


# --- logs -------------------------------------------------------------------------------------------------


@pytest.fixture
def logged() -> Any:
    """A logger of ours behind the filter, and what it wrote."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(ScrubbingFilter(Scrubber(SECRETS)))
    handler.setFormatter(FieldsFormatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("safeupdater.scrubbed")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield logger, stream
    logger.removeHandler(handler)


def test_twenty_secrets_by_every_way_into_a_record_are_not_logged(logged: Any) -> None:
    _, stream = logged
    child = logging.getLogger("safeupdater.scrubbed.below")
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        for secret in SECRETS:
            for spell in SPELLINGS.values():
                spelt = spell(secret)
                child.log(level, spelt)
                child.log(level, "%s and %r", spelt, {"k": spelt})
                child.log(level, "fields", extra={"detail": [spelt], "fields": ("detail",)})
            try:
                raise ValueError(f"no login {secret}") from OSError(secret)
            except ValueError:
                child.log(level, "failed", exc_info=True, stack_info=True)
    text = stream.getvalue()
    assert text.count("***") > 5 * 20 * len(SPELLINGS) * 3
    assert "Traceback" in text
    assert found_in(text, SECRETS) == []


def test_a_record_that_cannot_be_cleaned_shows_nothing(logged: Any) -> None:
    logger, stream = logged
    logger.warning("%d", SECRETS[0])
    assert stream.getvalue() == "WARNING a record that cannot be shown (TypeError)\n"


# --- crash reports ----------------------------------------------------------------------------------------


def crash_report(secret: str) -> dict[str, Any]:
    """What a crash reporter collects: frames with their local variables, by name and as text."""
    password, request = (
        secret,
        {"headers": {"Authorization": f"Basic {secret}"}, "url": f"https://u:{secret}@h/"},
    )
    raw = secret.encode()
    try:
        raise SafeUpdaterError(f"{request} {raw!r}", where=password)
    except SafeUpdaterError as error:
        frames = [
            {"function": frame.f_code.co_name, "lineno": line, "vars": dict(frame.f_locals)}
            for frame, line in traceback.walk_tb(sys.exc_info()[2])
        ]
        found = traceback.TracebackException.from_exception(error, capture_locals=True)
        value = {"type": "SafeUpdaterError", "value": str(error), "stacktrace": {"frames": frames}}
        return {"exception": {"values": [value]}, "extra": {"text": "".join(found.format())}, "n": 1}


@pytest.mark.parametrize("secret", SECRETS)
def test_a_crash_report_with_local_variables_holds_no_secret(secret: str) -> None:
    report = crash_report(secret)
    assert found_in(repr(report), [secret]) == [secret], "the test can find it"
    clean = Scrubber([secret]).before_send(report, {"hint": "unused"})
    assert found_in(json.dumps(clean) + repr(clean), [secret]) == []
    assert clean["exception"]["values"][0]["type"] == "SafeUpdaterError"
    assert clean["n"] == 1


def test_what_stands_under_a_name_of_a_secret_goes_though_nobody_knows_it() -> None:
    event = {"db_password": "x1", "API_TOKEN": b"x2", "headers": {"authorization": ["x3"]}, "a": "b"}
    clean = Scrubber().before_send({"vars": event})["vars"]
    assert clean == {"db_password": "***", "API_TOKEN": "***", "headers": {"authorization": "***"}, "a": "b"}


def test_a_report_that_cannot_be_cleaned_is_not_sent() -> None:
    class Sly:
        def __repr__(self) -> str:
            raise RuntimeError(SECRETS[0])

    assert Scrubber().before_send({"vars": {"sly": Sly()}}) is None


def test_a_report_that_holds_itself_ends() -> None:
    event: dict[str, Any] = {}
    event["self"] = event
    assert Scrubber().before_send(event)["self"]


# --- where secrets are found ------------------------------------------------------------------------------


def test_the_environment_tells_which_values_are_secret() -> None:
    pair = base64.b64encode(f"ci:{SECRETS[0]}".encode()).decode()
    environ = {
        "DOCKER_AUTH_CONFIG": json.dumps({"auths": {"r": {"auth": pair}}}),
        "SAFEUPDATER_WEBHOOK_URL": f"https://chat/services/{SECRETS[1]}?t={urllib.parse.quote(SECRETS[2])}",
        "SAFEUPDATER_WEBHOOK_SECRET": SECRETS[3],
        "SAFEUPDATER_SEAL_KEY": SECRETS[6],
        "SAFEUPDATER_STORE": f"postgresql://me:{urllib.parse.quote(SECRETS[4], safe='')}@db/s",
        "ACME_API_TOKEN": SECRETS[5],
        "POSTGRES_PASSWORD": "postgres",
        "HOME": "/home/ann",
        "DOCKER_HOST": "unix:///run/docker.sock",
    }
    scrubber = Scrubber(secrets_in(environ))
    for secret in SECRETS[:7]:
        assert found_in(scrubber.text(f"a {secret} b"), [secret]) == [], secret
    kept = "postgres in /home/ann at unix:///run/docker.sock by the services of chat"
    assert scrubber.text(kept) == kept


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("PASSWORD_STORE_DIR", "/home/ann/.safe", "exported to /home/ann/.safe/export.json"),
        ("SECRET_SCOPE", "shop-1.0", "docker://prod-1/shop-1.0"),
        ("DB_PASSWORD_FILE", "run/secrets/db", "run/secrets/db cannot be read"),
        ("token_path", "web.main", "web.main is updated"),
        ("SECRET_NAME", "web-tls-1", "web-tls-1 is updated"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/etc/gcp/key.json", "see /etc/gcp/key.json"),
    ],
)
def test_where_a_secret_is_kept_is_none(name: str, value: str, kept: str) -> None:
    assert Scrubber(secrets_in({name: value})).text(kept) == kept


@pytest.mark.parametrize(
    ("name", "value"),
    [("API_TOKEN", "/hunter2/Zq9+abc"), ("API_TOKEN", "/home-of-hunter2"), ("FILE_PASSWORD", "hunter2-Zq9")],
)
def test_a_secret_that_looks_a_bit_like_a_path_is_one(name: str, value: str) -> None:
    assert Scrubber(secrets_in({name: value})).text(f"a {value} b") == "a *** b"


def test_dockers_stored_logins_are_secrets(tmp_path: Path) -> None:
    pair = base64.b64encode(f"ci:{SECRETS[0]}".encode()).decode()
    auths = {"a": {"auth": pair}, "b": {"identitytoken": SECRETS[1]}, "c": {"password": SECRETS[2]}}
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths, "credsStore": "not-asked"}))
    found = {secret.reveal() for secret in stored_secrets({"DOCKER_CONFIG": str(tmp_path)})}
    assert found >= set(SECRETS[:3])
    (tmp_path / "config.json").write_text("no JSON")
    assert stored_secrets({"DOCKER_CONFIG": str(tmp_path)}) == ()


@pytest.mark.parametrize("verbose", [(), ("--verbose",)])
def test_the_command_line_says_no_secret_of_its_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verbose: tuple[str, ...]
) -> None:
    """A backend that puts what it knows into its errors, which end on stderr and in the JSON of an error."""
    shell = Shell(tmp_path, capsys, environ={"XDG_STATE_HOME": str(tmp_path), "ACME_TOKEN": SECRETS[0]})

    def fails() -> Any:
        raise SafeUpdaterError(f"no answer for {SECRETS[0]} at {URL}", token=SECRETS[2])

    shell.backend.scan = fails  # type: ignore[method-assign]
    ran = shell("scan", *verbose)
    assert (ran.code, "no answer for *** at https://***@h/" in ran.err) == (1, True), ran.err
    document = shell.json("scan")
    assert document["message"] == "memory on prod-1: no answer for *** at https://***@h/"
    assert found_in(ran.err + ran.out + json.dumps(document), SECRETS) == []
