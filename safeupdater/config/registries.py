"""The registries file: what is special about single registries, for the command line and services."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Container, Iterator, Mapping

import attrs

from safeupdater.config.kinds import FLAG, ListKind, ScalarKind, entries_of, text, whole
from safeupdater.config.load import read_nodes
from safeupdater.config.nodes import Node, Problems, child
from safeupdater.config.sections import SectionKind, key
from safeupdater.registries.oci.settings import RegistrySettings, normalized_host

VARIABLE = "SAFEUPDATER_REGISTRIES"


_HOST = re.compile(
    r"([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?",
    re.I | re.A,
)


def _host(value: str) -> None:
    if _HOST.fullmatch(value) is None:
        raise ValueError(f"{value!a} is not a host")


def _absolute(value: str) -> None:
    if not os.path.isabs(value):
        raise ValueError("a relative path depends on where the command is started")


_FIELDS = attrs.fields_dict(RegistrySettings)


@attrs.frozen(kw_only=True)
class _Keys:
    """One registry; each key is the argument of ``RegistrySettings`` of that name."""

    plain_http: bool | None = key(FLAG, "Whether it is asked over plain HTTP.", default=None)
    credentials_over_plain_http: bool = key(
        FLAG, "Whether a login may travel over plain HTTP.", default=False
    )
    ca_file: str | None = key(
        text("an absolute path", check=_absolute),
        "Authorities (PEM) beside the system's.",
        default=None,
    )
    token_hosts: tuple[str, ...] = key(
        ListKind(item=text("a host, or host:port", check=_host), as_set=True),
        "Further hosts that may be asked for tokens with its login.", default=(),
    )  # fmt: skip
    max_parallel: int = key(
        whole(1, 64), "Requests under way at once.", default=_FIELDS["max_parallel"].default
    )
    requests_per_s: float | None = key(
        ScalarKind(
            expected="a number above 0",
            parse=lambda value: _positive(value),
            dump=lambda value: value,
            json={"type": "number", "exclusiveMinimum": 0},
        ),
        "Requests in a second.", default=None,
    )  # fmt: skip


def _positive(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1000:
        raise ValueError("from above 0 to 1000")
    return float(value)


_SECTION: SectionKind[_Keys] = SectionKind(cls=_Keys)


def load_registries(path: str | os.PathLike[str]) -> dict[str, RegistrySettings]:
    """What a registries file declares: a mapping from ``host[:port]`` to what is special about it.

    Raises:
        ConfigurationError: it cannot be read or something in it is wrong; all of it is listed.
    """
    problems = Problems(os.fspath(path))
    found = _read(read_nodes(path), problems)
    problems.raise_if_any()
    return found


def registries_of(environ: Mapping[str, str], path: str | None = None) -> dict[str, RegistrySettings]:
    """What the file at a path declares, else the one that ``SAFEUPDATER_REGISTRIES`` names; {} for none.

    Raises:
        ConfigurationError: as ``load_registries``.
    """
    chosen = path or environ.get(VARIABLE)
    return load_registries(chosen) if chosen else {}


def _read(node: Node, problems: Problems) -> dict[str, RegistrySettings]:
    hint = "a mapping such as {registry.example.org: {ca_file: /etc/ssl/ca.pem}}"
    settings: dict[str, RegistrySettings] = {}
    for name, entry in (entries_of(node, "$", problems, hint) or {}).items():
        wrong = _wrong_with(name, settings)
        if wrong:
            problems.add("$", wrong, entry.at)
            continue
        before = problems.count
        plain = _SECTION.read(entry, child("$", name), problems)
        if problems.count > before:
            continue
        keys = _SECTION.value(plain)
        for useless in _cannot_work(keys):
            problems.add(child("$", name), useless, entry.at)
        settings[name.lower()] = RegistrySettings(**attrs.asdict(keys, recurse=False))
    return settings


def _wrong_with(name: str, earlier: Container[str]) -> str | None:
    """Why a key names no registry; None where it does."""
    if _HOST.fullmatch(name) is None:
        return f"{name!a} is not a registry: expected host or host:port; patterns are not understood"
    registry = normalized_host(name)
    assert registry is not None, "a host alone names a registry"
    if registry != name.lower():
        return f"{name!a} is {registry} under another name: write {registry}"
    return f"{registry} is here twice: write it once, in small letters" if registry in earlier else None


def _cannot_work(keys: _Keys) -> Iterator[str]:
    if keys.credentials_over_plain_http and keys.plain_http is False:
        yield "credentials_over_plain_http needs plain_http: true"
    if keys.ca_file is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(keys.ca_file)
        except ssl.SSLError:
            yield f"ca_file {keys.ca_file!a} holds no certificates (PEM)"
        except OSError as error:
            yield f"ca_file {keys.ca_file!a} cannot be read: {os.strerror(error.errno or 0)}"
