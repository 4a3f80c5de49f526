"""Makes health checks from what a policy says: a type and its options."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import attrs

from safeupdater.errors import ConfigurationError, PluginError, Problem
from safeupdater.probes import plugin
from safeupdater.probes.exec import ExecCheck
from safeupdater.probes.http import HttpCheck
from safeupdater.probes.runtime import RuntimeCheck
from safeupdater.probes.tcp import TcpCheck
from safeupdater.protocols import HealthCheck

_MEASURING: Mapping[str, type[attrs.AttrsInstance]] = MappingProxyType(
    {"http": HttpCheck, "tcp": TcpCheck, "exec": ExecCheck}
)
_RUNTIMES = ("docker", "kubernetes")
BUILT_IN = (*_MEASURING, *_RUNTIMES)


class HealthCheckFactory:
    """Makes checks of the types ``http``, ``tcp``, ``exec``, ``docker``, ``kubernetes`` and of plugins.

    With ``plugins`` a type that is not built in is looked up, when it is used, among the entry points of
    the group ``safeupdater.health_checks``. ``types`` gives further ones by name, without registration;
    neither can take the name of a built-in one.
    """

    def __init__(self, plugins: bool = True, *, types: Mapping[str, plugin.Maker] | None = None) -> None:
        self._plugins = plugins
        self._types = dict(types or {})
        for name in self._types:
            if name in BUILT_IN:
                raise ConfigurationError(f"the health check type {name!r} is built in: choose another name")

    def create(self, type: str, **options: object) -> HealthCheck:
        """The check of that type.

        Raises:
            ConfigurationError: unknown type or option, or a value that cannot be meant; every one at once.
            PluginError: a plugin cannot be loaded, raised, or gave something that is not a check.
        """
        if type in _MEASURING:
            return _measuring(type, options)
        if type in _RUNTIMES:
            _refuse(type, [_unknown(name, ()) for name in options])
            return RuntimeCheck(runtime=type)
        maker = self._types.get(type) or (plugin.find(type) if self._plugins else None)
        if maker is None:
            known = (*BUILT_IN, *self._types, *(plugin.names() if self._plugins else ()))
            raise ConfigurationError(
                f"unknown health check type {type!r}{_suggestion(type, known)}; known: {', '.join(known)}",
                code="unknown_health_check",
            )
        return _foreign(type, maker, options)


def _measuring(type: str, options: Mapping[str, object]) -> HealthCheck:
    made = _MEASURING[type]
    fields = {field.alias or field.name: field for field in attrs.fields(made) if field.init}
    problems = [_unknown(name, fields) for name in options if name not in fields]
    for name, field in fields.items():
        if name in options:
            problems += _problems_of(name, partial(_convert, field.converter, options[name]))
        elif field.default is attrs.NOTHING:
            problems.append(Problem(path=name, message="is required"))
    _refuse(type, problems)
    try:
        check: Any = made(**options)
    except ValueError as error:  # options that do not go together
        raise _configuration_error(type, [Problem(path="", message=str(error))]) from error
    result: HealthCheck = check
    return result


def _convert(converter: Any, value: object) -> None:
    converter(value)


def _problems_of(name: str, read: partial[None]) -> list[Problem]:
    try:
        read()
    except ValueError as error:
        return [Problem(path=name, message=str(error))]
    return []


def _foreign(type: str, maker: plugin.Maker, options: Mapping[str, object]) -> HealthCheck:
    try:
        check: object = maker(**options)
    except ConfigurationError:
        raise
    except Exception as error:
        raise PluginError(
            f"the health check {type!r} could not be made from its options: {error.__class__.__name__}"
        ) from error
    if not callable(getattr(check, "check", None)) or not callable(getattr(check, "self_test", None)):
        raise PluginError(
            f"the health check {type!r} gave {check.__class__.__name__}, without check and self_test"
        )
    return plugin.GuardedCheck(type, check)  # type: ignore[arg-type]  # just looked at


def _unknown(name: str, known: Iterable[str]) -> Problem:
    return Problem(path=name, message=f"unknown option{_suggestion(name, known)}")


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _refuse(type: str, problems: list[Problem]) -> None:
    if problems:
        raise _configuration_error(type, problems)


def _configuration_error(type: str, problems: list[Problem]) -> ConfigurationError:
    return ConfigurationError(
        f"the health check {type!r} cannot be used", problems=problems, source=f"health check {type}"
    )
