"""Answering a registry's challenge: Basic, or a Bearer token of exactly the scope that we need."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import datetime
from urllib.parse import quote, urlencode

import attrs
import msgspec

from safeupdater.domain.secret import Secret
from safeupdater.errors import MalformedResponse, RegistryError
from safeupdater.registries.oci import failures
from safeupdater.registries.oci.cache import SharedCache
from safeupdater.registries.oci.credentials import Credentials
from safeupdater.registries.oci.egress import (
    EgressDenied,
    Origin,
    Url,
    check_token_realm,
    may_have_credentials,
    parse_url,
)
from safeupdater.registries.oci.network import Deadline
from safeupdater.registries.oci.settings import Limits, RegistrySettings
from safeupdater.registries.oci.transport import Authorization, Request, Response

_MAX_CHALLENGE = 8192
_SCHEME = re.compile(r"\s*,?\s*([A-Za-z][A-Za-z0-9-]*)(?:\s+|(?=,)|$)(?!=)")
_PARAMETER = re.compile(r'\s*,?\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=:-]{1,32768}", re.ASCII)
_SERVICE = re.compile(r"[ -~]{0,256}", re.ASCII)
_CLIENT_ID = "safeupdater"


@attrs.frozen
class Challenge:
    """How a registry wants to be asked. Its own ``scope`` is not read: we know what we need."""

    scheme: str
    realm: str = ""
    service: str = ""


def parse_challenge(header: str) -> Challenge | None:
    """The best challenge of a ``WWW-Authenticate`` header (RFC 9110 §11.6.1): Bearer before Basic.

    None where it offers neither.
    """
    offered = {challenge.scheme: challenge for challenge in _challenges(header[:_MAX_CHALLENGE])}
    return offered.get("bearer") or offered.get("basic")


def _challenges(header: str) -> list[Challenge]:
    found: list[Challenge] = []
    position = 0
    while scheme := _SCHEME.match(header, position):
        position = scheme.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, position):
            position = parameter.end()
            name, quoted, bare = parameter.groups()
            parameters.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", quoted) if bare is None else bare)
        found.append(Challenge(scheme[1].lower(), parameters.get("realm", ""), parameters.get("service", "")))
    return found


@attrs.frozen
class _Token:
    value: Secret[str]
    ttl_s: float


class _TokenBody(msgspec.Struct):
    token: object = None
    access_token: object = None
    expires_in: object = None


Send = Callable[[Request, bool, Deadline], Response]
"""Sends a request; the flag says that the origin is not the registry's own."""


class Authenticator:
    """The login of one registry: remembers how it wants to be asked, and its tokens. Thread-safe."""

    def __init__(
        self,
        *,
        registry: str,
        origin: Origin,
        settings: RegistrySettings,
        limits: Limits,
        credentials: Callable[[], Credentials | None],
        send: Send,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._registry, self._origin, self._settings, self._limits = registry, origin, settings, limits
        self._credentials, self._send, self._now, self._monotonic = credentials, send, now, monotonic
        self._challenge: Challenge | None = None
        self._tokens: SharedCache[str, _Token] = SharedCache(
            ttl_s=limits.token_ttl_max_s, max_entries=2048, monotonic=monotonic
        )
        self._refused_until = float("-inf")
        self._lock = threading.Lock()

    @property
    def has_login(self) -> bool:
        """Whether a login is configured for this registry."""
        return self._credentials() is not None

    def authorization(self, asked: failures.Asked, deadline: Deadline) -> Authorization | None:
        """What to send up front: what satisfied the registry before; None while that is not known.

        Raises:
            RegistryError: no token could be had, or the login was refused a short while ago.
        """
        challenge = self._challenge
        if challenge is None:
            return None
        if self._monotonic() < self._refused_until:
            raise failures.from_status(401, {}, b"", asked, self._limits, self._now())
        if challenge.scheme == "basic":
            return self._basic(asked)
        return self._bearer(challenge, asked, deadline)

    def answer(self, header: str | None, asked: failures.Asked, deadline: Deadline) -> Authorization | None:
        """What to send after a 401 with this challenge; None where nothing can be answered.

        Raises:
            RegistryError: the challenge is for a stranger, or no token could be had.
        """
        challenge = parse_challenge(header or "")
        if challenge is None:
            return None
        self._tokens.forget(asked.repository)
        self._challenge = challenge
        return self.authorization(asked, deadline)

    def note_refusal(self) -> None:
        """Takes note that an answer to a challenge was refused.

        A Basic login is then bad everywhere and rests for a while, lest the account be locked out. A Bearer
        token may only be too narrow for one repository: others go on.
        """
        if self._challenge is not None and self._challenge.scheme == "basic" and self.has_login:
            self._rest()

    def _rest(self) -> None:
        with self._lock:
            self._refused_until = self._monotonic() + self._limits.refusal_ttl_s

    def _basic(self, asked: failures.Asked) -> Authorization | None:
        login = self._credentials()
        if login is None:
            return None
        if login.identity_token:
            raise RegistryError(
                f"{asked.registry} wants a user and a password but the login is an identity token: "
                f"run `docker login {asked.registry}` with a password",
                code="unauthorized", registry=asked.registry,
            )  # fmt: skip
        self._check_secrecy(self._origin)
        return Authorization(login.basic_header())

    def _bearer(self, challenge: Challenge, asked: failures.Asked, deadline: Deadline) -> Authorization:
        token = self._tokens.get(
            asked.repository,
            lambda: self._fetch(challenge, asked, deadline),
            ttl_s=lambda token: token.ttl_s,
        )
        return Authorization(Secret(f"Bearer {token.value.reveal()}"))

    def _fetch(self, challenge: Challenge, asked: failures.Asked, deadline: Deadline) -> _Token:
        realm = parse_url(challenge.realm)
        if _SERVICE.fullmatch(challenge.service) is None:
            raise MalformedResponse(f"{asked.registry} names a token service in no proper text: refused")
        check_token_realm(realm, self._origin, plain_http=realm.origin.netloc in self._settings.token_hosts)
        login = self._credentials()
        if login is not None:
            self._check_recipient(realm)
        request = self._token_request(realm, challenge.service, asked.repository, login)
        response = self._send(request, realm.origin != self._origin, deadline)
        if response.status != 200:
            raise self._refusal(response, asked, login)
        return self._decoded(response, asked)

    def _check_recipient(self, realm: Url) -> None:
        if not may_have_credentials(realm.origin, self._origin, self._settings.token_hosts):
            raise EgressDenied(
                f"{self._origin.netloc} wants its login sent to {realm.origin}: refused; if that is its "
                f"token service, add {realm.origin.netloc} to token_hosts in RegistrySettings",
                registry=self._registry,
            )
        self._check_secrecy(realm.origin)

    def _check_secrecy(self, origin: Origin) -> None:
        if origin.scheme == "https" or origin.is_loopback_name or self._settings.credentials_over_plain_http:
            return
        raise EgressDenied(
            f"the login of {self._registry} is not sent over plain HTTP to {origin.netloc}: use TLS, or set "
            "credentials_over_plain_http in RegistrySettings",
            registry=self._registry,
        )

    def _token_request(self, realm: Url, service: str, repository: str, login: Credentials | None) -> Request:
        limit = self._limits.token_bytes
        query = {"service": service, "scope": f"repository:{repository}:pull"}
        if login is not None and login.identity_token:
            form = {"grant_type": "refresh_token", "client_id": _CLIENT_ID, **query}
            body = urlencode({**form, "refresh_token": login.identity_token.reveal()}).encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            return Request(url=realm, method="POST", headers=headers, body=body, limit_bytes=limit)
        asked = urlencode({name: value for name, value in query.items() if value}, quote_via=quote, safe="")
        url = attrs.evolve(realm, query=f"{realm.query}&{asked}" if realm.query else asked)
        return Request(
            url=url,
            authorization=Authorization(login.basic_header()) if login is not None else None,
            limit_bytes=limit,
        )

    def _refusal(self, response: Response, asked: failures.Asked, login: Credentials | None) -> RegistryError:
        if 300 <= response.status < 400:
            return EgressDenied(f"the token service of {asked.registry} redirects elsewhere: not followed")
        if response.status == 401 and login is not None:
            self._rest()
        return failures.from_status(
            response.status, response.headers, response.body, asked, self._limits, self._now()
        )

    def _decoded(self, response: Response, asked: failures.Asked) -> _Token:
        try:
            body = msgspec.json.decode(response.body, type=_TokenBody)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            body = _TokenBody()
        value = body.token or body.access_token
        if not isinstance(value, str) or _TOKEN.fullmatch(value) is None:
            raise MalformedResponse(f"the token service of {asked.registry} gave no token: try again later")
        return _Token(Secret(value), self._ttl_s(body.expires_in))

    def _ttl_s(self, claimed: object) -> float:
        limits = self._limits
        if isinstance(claimed, bool) or not isinstance(claimed, int | float):
            return limits.token_ttl_min_s
        # A little early, so that a token does not expire on its way.
        return min(max(0.9 * claimed, limits.token_ttl_min_s * 0.9), limits.token_ttl_max_s)
