"""The keys of a policy, declared once: from these classes come the reading, the defaults, the JSON Schema
and the table in the docs.

The JSON Schema is shipped as ``policy.schema.json``; ``python docs/generated.py`` writes it and the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, time
from types import MappingProxyType

import attrs

from safeupdater.config.fields import (
    CLOCK,
    CONSTRAINT,
    DATE,
    GLOB,
    IMAGE_GLOB,
    PATTERN,
    PLUGIN_NAME,
    RATE,
    SKIPPED,
    TIMEZONE,
    TYPE_GLOB,
    CheckKind,
    WeekdaysKind,
    duration,
    named,
    set_of,
)
from safeupdater.config.kinds import (
    FLAG,
    OPTIONAL_TEXT,
    ListKind,
    Schema,
    TextMapKind,
    choice,
    either,
    member,
    or_word,
    text,
    whole,
)
from safeupdater.config.sections import Key, SectionKind, key
from safeupdater.config.store_settings import STORE_SETTINGS, StoreSettings
from safeupdater.config.units import format_clock, format_weekdays
from safeupdater.domain.health import HealthPolicy, ProbeSpec, Rule
from safeupdater.domain.operation import Hook, HookPoint, OnInconclusive, RollbackPolicy, Unrunnable
from safeupdater.protocols import AssetPolicy

VERSION = 1
_DAY_S = 86_400.0

_ACTION = choice("auto", "review", "manual", "skip")


@attrs.frozen(kw_only=True)
class SemverGates:
    """What may happen to each size of change."""

    patch: str = key(_ACTION, "What happens to a patch.", default="auto")
    minor: str = key(_ACTION, "What happens to a minor step.", default="review")
    major: str = key(_ACTION, "What happens to a major step.", default="manual")
    prerelease: str = key(_ACTION, "What happens to a pre-release.", default="skip")
    digest: str = key(_ACTION, "What happens when the same tag serves other bits.", default="review")


@attrs.frozen(kw_only=True)
class MinimumAge:
    """How old a version has to be."""

    age: float = key(duration(0, 3650 * _DAY_S), "How old a version has to be.", default=0.0)
    basis: str = key(
        choice("published", "first_seen"), "Counted from its publication, or from when we first saw it.",
        default="published",
    )  # fmt: skip
    unknown: str = key(
        choice("defer", "review", "reject"), "What happens when that time is not known.", default="defer"
    )


@attrs.frozen(kw_only=True)
class TagFilter:
    """Which tags are looked at."""

    include: tuple[str, ...] = key(set_of(PATTERN), "Only tags that match one of these globs.", default=())
    exclude: tuple[str, ...] = key(set_of(PATTERN), "No tag that matches one of these globs.", default=())


@attrs.frozen(kw_only=True)
class Window:
    """When updates may begin. One that does not end after it starts goes on into the next day."""

    days: frozenset[int] = key(WeekdaysKind(), "The days on which it opens.", default=frozenset(range(7)))
    start: time = key(CLOCK, "When it opens.", name="from")
    end: time = key(CLOCK, "When it closes.", name="to")
    timezone: str = key(TIMEZONE, "Whose clock is meant.", default="UTC")

    def __str__(self) -> str:
        days = format_weekdays(self.days)
        return f"{days} {format_clock(self.start)}-{format_clock(self.end)} {self.timezone}"


@attrs.frozen(kw_only=True)
class FreezeDays:
    """Days on which nothing is updated, first and last included."""

    start: date = key(DATE, "The first day.", name="from")
    end: date = key(DATE, "The last day, which is included.", name="to")
    timezone: str = key(TIMEZONE, "Whose days are meant.", default="UTC")
    reason: str = key(OPTIONAL_TEXT, "Why, for people.", default="")

    def __attrs_post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError(f"ends on {self.end}, before it begins on {self.start}: swap from and to")

    def __str__(self) -> str:
        return f"{self.start} to {self.end} {self.timezone} {self.reason}".rstrip()


_HEALTH = HealthPolicy()
_ROLLBACK = RollbackPolicy()
_WATCHED = duration(0.001, 30 * _DAY_S - 1)


@attrs.frozen(kw_only=True)
class Health:
    """How a new version is watched."""

    ready_timeout: float = key(
        _WATCHED, "How long a version may take to become ready.", default=_HEALTH.ready_timeout_s
    )
    window: float = key(_WATCHED, "How long it is watched afterwards.", default=_HEALTH.window_s)
    interval: float = key(_WATCHED, "How often it is probed.", default=_HEALTH.interval_s)
    failure_rate: float = key(
        RATE, "The share of failed probes above which `rule: failure_rate` rolls back.",
        default=_HEALTH.failure_rate,
    )  # fmt: skip
    rule: Rule = key(member(Rule), "How the window is judged.", default=_HEALTH.rule)
    check_timeout: float = key(_WATCHED, "How long one probe may take.", default=_HEALTH.check_timeout_s)
    baseline: float = key(
        duration(0, 10), "How long the old version is measured before an update.", default=_HEALTH.baseline_s
    )
    checks: tuple[ProbeSpec, ...] = key(
        ListKind(item=CheckKind()), "The probes: each a `type` and its options.", default=_HEALTH.checks
    )

    def policy(self) -> HealthPolicy:
        """The same as the core takes it."""
        return HealthPolicy(
            ready_timeout_s=self.ready_timeout,
            window_s=self.window,
            interval_s=self.interval,
            failure_rate=self.failure_rate,
            rule=self.rule,
            checks=self.checks,
            check_timeout_s=self.check_timeout,
            baseline_s=self.baseline,
        )


@attrs.frozen(kw_only=True)
class Rollback:
    """How rollbacks are bounded, and how long the way back stays open."""

    cooldown: float = key(
        duration(0, 365 * _DAY_S), "How long a target rests after a rollback.", default=_ROLLBACK.cooldown_s
    )
    max_per_day: int = key(
        whole(0, 1000), "How many rollbacks a day happen by themselves.", default=_ROLLBACK.max_per_day
    )
    on_inconclusive: OnInconclusive = key(
        member(OnInconclusive), "What follows when the window says neither yes nor no.",
        default=_ROLLBACK.on_inconclusive,
    )  # fmt: skip
    keep_previous: int = key(
        whole(0, 100), "How many earlier versions stay at hand.", default=_ROLLBACK.keep_previous
    )
    retain: float = key(
        duration(0, 3650 * _DAY_S), "How long an earlier version is kept.", default=_ROLLBACK.retain_s
    )
    quarantine: float | None = key(
        or_word("forever", duration(0, 3650 * _DAY_S)), "How long a version that failed is not tried again.",
        default=_ROLLBACK.quarantine_s,
    )  # fmt: skip

    def policy(self) -> RollbackPolicy:
        """The same as the core takes it."""
        return RollbackPolicy(
            cooldown_s=self.cooldown,
            max_per_day=self.max_per_day,
            on_inconclusive=self.on_inconclusive,
            keep_previous=self.keep_previous,
            retain_s=self.retain,
            quarantine_s=self.quarantine,
        )


@attrs.frozen(kw_only=True)
class HookSpec:
    """A command that runs as a step of an update."""

    name: str = key(
        named("a name of lower-case letters, digits, _ and -", "[a-z0-9][a-z0-9_-]{0,62}"), "Its name."
    )
    point: HookPoint = key(member(HookPoint), "When it runs.")
    command: tuple[str, ...] = key(
        ListKind(item=text(lines=True, secret=True), minimum=1),
        "Program and arguments; no shell.",
    )  # fmt: skip
    in_container: bool = key(
        FLAG,
        "Whether it runs in the container (the old one before the switch, the new one after the commit), or "
        "beside the updater.",
        default=True,
    )
    timeout: float = key(duration(0.001, 7 * _DAY_S), "How long it may take.", default=300.0)

    def hook(self) -> Hook:
        """The same as the core takes it."""
        return Hook(
            name=self.name,
            point=self.point,
            argv=self.command,
            in_container=self.in_container,
            timeout_s=self.timeout,
        )

    def __str__(self) -> str:
        # Never the command: people write passwords into commands.
        return f"{self.name} ({self.point})"


# --- the settings and the document ------------------------------------------------------------------------

_ASSET_POLICY = attrs.fields_dict(AssetPolicy)


@attrs.frozen(kw_only=True)
class Settings:
    """Everything that the top level or a rule may set; as an instance, what holds for one asset."""

    enabled: bool = key(FLAG, "Whether the asset is kept up to date at all.", default=True)
    semver_gates: SemverGates = key(
        SectionKind(cls=SemverGates), "What may happen to each size of change.", default=SemverGates()
    )
    zero_major: str = key(
        choice("strict", "literal"), "Whether a minor step of 0.y.z counts as breaking (strict).",
        default="strict",
    )  # fmt: skip
    constraint: str | None = key(
        CONSTRAINT, "The only versions allowed, as a range of npm's grammar; `none` lifts it.", default=None
    )
    allow_prerelease: bool = key(FLAG, "Whether pre-releases are looked at.", default=False)
    family: str = key(
        choice("strict", "loose"), "Whether the shape of the tag has to stay the same.", default="strict"
    )
    max_major_step: int = key(
        whole(1, 1_000_000_000), "A larger leap is a change of scheme, never an upgrade.",
        default=_ASSET_POLICY["max_major_step"].default,
    )  # fmt: skip
    minimum_age: MinimumAge = key(
        SectionKind(cls=MinimumAge, shorthand="age"), "How old a version has to be.", default=MinimumAge()
    )
    windows: tuple[Window, ...] = key(
        ListKind(item=SectionKind(cls=Window, whole=True)),
        "When updates may begin; none: always.",
        default=(),
    )
    freezes: tuple[FreezeDays, ...] = key(
        ListKind(item=SectionKind(cls=FreezeDays, whole=True)),
        "Days on which nothing is updated.",
        default=(),
    )
    freeze: bool | str = key(
        either("true, false or the reason as text", FLAG, text()),
        "Stops every update, at once.",
        default=False,
    )
    tags: TagFilter = key(SectionKind(cls=TagFilter), "Which tags are looked at.", default=TagFilter())
    registries: tuple[str, ...] = key(
        set_of(PATTERN), "The only registries allowed; none listed: all.", default=()
    )
    repositories: tuple[str, ...] = key(
        set_of(PATTERN), "The only repositories allowed; none listed: all.", default=()
    )
    skip_versions: tuple[str, ...] = key(set_of(SKIPPED), "Versions never to update to.", default=())
    allow_owners: tuple[str, ...] = key(
        set_of(PATTERN), "Owning tools (Argo CD, Helm …) beside which updates are still made.", default=()
    )
    stateful: bool | str = key(
        either("true, false or auto", FLAG, choice("auto")),
        "Whether the asset keeps data, so that no major step is automatic; auto: known databases.",
        default="auto",
    )  # fmt: skip
    image_changes: str = key(
        choice("ignore", "show", "review"),
        "Whether a plan compares the configs of the old and the new image: user, command, ports, volumes, "
        "health check, layers from elsewhere; review: any difference wants one.",
        default="ignore",
    )
    gates: tuple[str, ...] = key(
        set_of(named("the name of a plugin gate", PLUGIN_NAME)), "Plugin gates that decide too.", default=()
    )
    approval_ttl: float = key(
        duration(1, 365 * _DAY_S), "How long an approval is good.",
        default=_ASSET_POLICY["approval_ttl_s"].default,
    )  # fmt: skip
    approvers: tuple[str, ...] = key(
        set_of(GLOB), "Who may approve updates, by the names that they are approved under; none listed: all.",
        default=(),
    )  # fmt: skip
    max_concurrent: int = key(
        whole(1, 10_000), "How many updates run at a time per host, namespace and release.",
        default=_ASSET_POLICY["max_concurrent"].default,
    )  # fmt: skip
    unrunnable: Unrunnable = key(
        member(Unrunnable), "What happens to a target that was not running.", default=Unrunnable.DEFER
    )
    stop_timeout: float = key(
        duration(0, 3600), "How long a container without a time of its own may take to stop.", default=10.0
    )
    health: Health = key(SectionKind(cls=Health), "How a new version is watched.", default=Health())
    rollback: Rollback = key(SectionKind(cls=Rollback), "How rollbacks are bounded.", default=Rollback())
    hooks: tuple[HookSpec, ...] = key(
        ListKind(item=SectionKind(cls=HookSpec, whole=True), distinct="name"),
        "Commands that run as steps of an update.", default=(),
    )  # fmt: skip


SETTINGS: SectionKind[Settings] = SectionKind(cls=Settings)


@attrs.frozen(kw_only=True)
class Match:
    """Which assets a rule is for: every key that is given has to match. Globs, case-sensitive."""

    host: str | None = key(GLOB, "The alias of the daemon or cluster.", default=None)
    namespace: str | None = key(GLOB, "The namespace; what has none does not match.", default=None)
    name: str | None = key(GLOB, "The name of the asset.", default=None)
    image: str | None = key(
        IMAGE_GLOB, "The image without tag: `docker.io/library/nginx` or `nginx`.", default=None
    )
    type: str | None = key(TYPE_GLOB, "The type of the asset, such as `deployment`.", default=None)
    labels: Mapping[str, str] = key(
        TextMapKind(item=GLOB),
        "Labels that it has to have, each with a glob for the value.",
        default=MappingProxyType({}),
    )


MATCH: SectionKind[Match] = SectionKind(cls=Match)


# --- JSON Schema and the table of keys --------------------------------------------------------------------


def json_schema() -> Schema:
    """The JSON Schema (draft 2020-12) of a policy file.

    Whatever the loader accepts fits it. The loader refuses some more: what a schema cannot say, such as
    an unknown time zone or a window that is never open.
    """
    settings, of_store = SETTINGS.schema()["properties"], STORE_SETTINGS.schema()["properties"]
    match = {"description": "Which assets the rule is for.", "minProperties": 1, **MATCH.schema()}
    assert isinstance(settings, dict)
    assert isinstance(of_store, dict)
    rule: Schema = {
        "type": "object",
        "properties": {"match": match, **settings},
        "required": ["match"],
        "additionalProperties": False,
    }
    rules: Schema = {
        "description": "All that match apply in order; later wins.",
        "type": "array",
        "items": rule,
    }
    version: Schema = {"description": "The version of this format.", "const": VERSION}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "safeupdater policy",
        "type": "object",
        "properties": {"version": version, **settings, **of_store, "rules": rules},
        "additionalProperties": False,
    }


def all_keys(
    section: SectionKind[Settings] | SectionKind[StoreSettings] = SETTINGS,
) -> Iterator[tuple[str, Key]]:
    """Every key that a rule takes, by its dotted name; keys of list items as ``windows[].from``.

    Those of ``STORE_SETTINGS`` are what the top level takes beside them.
    """
    yield from _keys_below("", section)


def _keys_below(prefix: str, section: object) -> Iterator[tuple[str, Key]]:
    match section:
        case SectionKind(keys=keys):
            for item in keys:
                yield f"{prefix}{item.name}", item
                yield from _keys_below(f"{prefix}{item.name}.", item.kind)
        case ListKind(item=SectionKind() as item):
            yield from _keys_below(f"{prefix[:-1]}[].", item)
        case _:
            return
