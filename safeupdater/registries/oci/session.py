"""A conversation with one registry: logged in, redirected, paced, and told apart from its errors."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from datetime import datetime

import attrs
import tenacity

from safeupdater.errors import MalformedResponse, RateLimited, RegistryError
from safeupdater.registries.oci import failures
from safeupdater.registries.oci.auth import Authenticator
from safeupdater.registries.oci.budget import Budget
from safeupdater.registries.oci.credentials import Credentials
from safeupdater.registries.oci.egress import (
    Url,
    check_redirect,
    parse_url,
    reach_from,
    reach_of_registry,
)
from safeupdater.registries.oci.network import Deadline
from safeupdater.registries.oci.settings import RegistrySettings, api_host
from safeupdater.registries.oci.skew import RegistryTime
from safeupdater.registries.oci.transport import Peer, Request, Response, Transport

_LOG = logging.getLogger(__name__)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PATIENCE_S = 10.0
_ABSENCES = frozenset({"timeout", "unreachable", "unresolved"})


@attrs.frozen(kw_only=True)
class RateLimit:
    """What a registry said about our allowance: requests per window, and how many are left."""

    limit: int | None = None
    remaining: int | None = None
    window_s: int | None = None


@attrs.frozen(kw_only=True)
class Clockwork:
    """Time as the session needs it, taken from the caller's clock."""

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    wait: Callable[[float], None]
    jitter: Callable[[], float] = random.random


class RegistrySession:
    """One registry as it is talked to. Thread-safe."""

    def __init__(
        self,
        registry: str,
        *,
        settings: RegistrySettings | None,
        transport: Transport,
        credentials: Callable[[], Credentials | None],
        clockwork: Clockwork,
    ) -> None:
        self.registry = registry
        self.limits = transport.limits
        self.now = clockwork.now
        self.rate_limit = RateLimit()
        self.time = RegistryTime()
        self._declared = settings is not None
        self._settings = settings or RegistrySettings()
        self._transport, self._clockwork = transport, clockwork
        self._base = _base_url(registry, self._settings)
        if self._base.origin.scheme == "http" and not self._base.origin.is_loopback_name:
            _LOG.warning("%s is spoken to over plain HTTP, as declared: anybody on the way can lie", registry)
        self._own = Peer(
            self._base.origin,
            reach_of_registry(self._base.origin, declared=self._declared),
            self._settings.ca_file,
        )
        self._budget = Budget(registry, self._settings, monotonic=clockwork.monotonic, wait=clockwork.wait)
        self._auth = Authenticator(
            registry=registry, origin=self._base.origin, settings=self._settings, limits=self.limits,
            credentials=credentials, send=self._exchange, now=clockwork.now, monotonic=clockwork.monotonic,
        )  # fmt: skip

    def url(self, target: str) -> Url:
        """The URL of a path at this registry."""
        return self._base.join(target)

    def asked(self, repository: str, what: str) -> failures.Asked:
        """The subject of a request, for its errors."""
        return failures.Asked(self.registry, repository, what, self._auth.has_login)

    def ask(
        self, asked: failures.Asked, url: Url, deadline: Deadline, *, limit_bytes: int, method: str = "GET",
        headers: Mapping[str, str] | None = None,
    ) -> Response:  # fmt: skip
        """The good answer to one request; transient failures are tried again within the deadline.

        Raises:
            RegistryError: there is none.
        """
        request = Request(url=url, method=method, headers=headers or {}, limit_bytes=limit_bytes)
        try:
            return self._ask_once(request, asked, deadline)
        except RegistryError as error:
            if not self._worth_another_try(error, deadline):
                raise
            first = error
        return self._ask_again(first, request, asked, deadline)

    def _ask_again(
        self, first: RegistryError, request: Request, asked: failures.Asked, deadline: Deadline
    ) -> Response:
        self._clockwork.wait(self._pause_s(first, 0))
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(max(1, self.limits.attempts - 1)),
            wait=lambda state: self._pause_s(_failure(state), state.attempt_number),
            retry=tenacity.retry_if_exception(lambda error: self._worth_another_try(error, deadline)),
            sleep=self._clockwork.wait,
            reraise=True,
        )
        return retrying(self._ask_once, request, asked, deadline)

    def _worth_another_try(self, error: BaseException, deadline: Deadline) -> bool:
        if not isinstance(error, RegistryError) or not error.transient or self.limits.attempts < 2:
            return False
        left = deadline.left_or_zero_s()
        return self._pause_s(error, 0) < min(left, _PATIENCE_S)

    def _pause_s(self, error: BaseException | None, attempt: int) -> float:
        """Full jitter on a doubling pause, or what the registry itself asked for."""
        if isinstance(error, RateLimited) and error.retry_after_s is not None:
            return error.retry_after_s
        return float(self.limits.backoff_s * 2.0**attempt * (0.5 + 0.5 * self._clockwork.jitter()))

    def _ask_once(self, request: Request, asked: failures.Asked, deadline: Deadline) -> Response:
        try:
            response = self._authorized(request, asked, deadline)
        except TimeoutError as error:
            raise failures.from_exception(error, self._base.origin.netloc) from error
        self._note_allowance(response.headers)
        if response.status == 200:
            return response
        raise self._refusal(response, asked)

    def _refusal(self, response: Response, asked: failures.Asked) -> RegistryError:
        error = failures.from_status(
            response.status, response.headers, response.body, asked, self.limits, self.now()
        )
        if isinstance(error, RateLimited) and error.retry_after_s is not None:
            self._budget.be_silent(error.retry_after_s)
        return error

    def _authorized(self, request: Request, asked: failures.Asked, deadline: Deadline) -> Response:
        authorization = self._auth.authorization(asked, deadline)
        response = self._redirected(attrs.evolve(request, authorization=authorization), deadline)
        if response.status != 401 or response.url.origin != self._base.origin:
            return response
        # One answer to one challenge: what is refused then stays refused.
        authorization = self._auth.answer(response.headers.get("www-authenticate"), asked, deadline)
        if authorization is None:
            return response
        response = self._redirected(attrs.evolve(request, authorization=authorization), deadline)
        if response.status == 401:
            self._auth.note_refusal()
        return response

    def _redirected(self, request: Request, deadline: Deadline) -> Response:
        for _ in range(self.limits.redirects + 1):
            response = self._exchange(request, request.url.origin != self._base.origin, deadline)
            if response.status not in _REDIRECTS:
                return response
            target = request.url.join(response.headers.get("location") or "")
            check_redirect(target, request.url)
            request = attrs.evolve(
                request,
                url=target,
                authorization=request.authorization if target.origin == request.url.origin else None,
            )
        raise MalformedResponse(
            f"{self.registry} redirects more than {self.limits.redirects} times: given up"
        )

    def _exchange(self, request: Request, is_foreign: bool, deadline: Deadline) -> Response:
        response = self._exchanged(request, is_foreign, deadline)
        # A Url is logged without its query: signed addresses and cursors are secrets of their kind.
        _LOG.debug("%s %s: %d", request.method, request.url, response.status)
        return response

    def _exchanged(self, request: Request, is_foreign: bool, deadline: Deadline) -> Response:
        if not is_foreign:
            with self._budget.slot(deadline):
                return self._noted(request, deadline)
        allowed = reach_from(self._transport.reach_of(self._base.origin))
        return self._transport.exchange(
            request, Peer(request.url.origin, allowed, self._settings.ca_file), deadline
        )

    def _noted(self, request: Request, deadline: Deadline) -> Response:
        try:
            response = self._transport.exchange(request, self._own, deadline)
        except RegistryError as error:
            self._budget.note(answered=error.code not in _ABSENCES)
            raise
        self._budget.note(answered=True)
        self.time.note(response.headers, self._clockwork.monotonic())
        return response

    def _note_allowance(self, headers: Mapping[str, str]) -> None:
        limit = headers.get("ratelimit-limit")
        if limit is not None:
            self.rate_limit = parse_rate_limit(limit, headers.get("ratelimit-remaining"))


def _base_url(registry: str, settings: RegistrySettings) -> Url:
    """The root of a registry's API: HTTPS, or HTTP where that is declared or the host is this machine."""
    secure = parse_url(f"https://{api_host(registry)}")
    if settings.plain_http is None:
        is_plain = secure.origin.is_loopback_name and settings.ca_file is None
    else:
        is_plain = settings.plain_http
    return parse_url(f"http://{api_host(registry)}") if is_plain else secure


def parse_rate_limit(limit: str, remaining: str | None) -> RateLimit:
    """The allowance in ``ratelimit-limit: 100;w=21600`` and its companion; no number means unknown."""
    count, _, window = limit.partition(";w=")
    return RateLimit(
        limit=_count(count), remaining=_count((remaining or "").partition(";")[0]), window_s=_count(window)
    )


def _count(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None


def _failure(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
