"""From merged settings to what the core works with: the gate of an asset and the limits it runs under."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from safeupdater.config.nodes import Plain
from safeupdater.config.schema import SETTINGS, Settings
from safeupdater.domain.operation import OperationSettings, Unrunnable
from safeupdater.domain.plan import fingerprint
from safeupdater.gates import (
    BackOff,
    Constraint,
    Freeze,
    FreezePeriod,
    ImageChanges,
    Labels,
    MinimumAge,
    Ownership,
    Running,
    SemverGate,
    SkippedVersions,
    Sources,
    StatefulGuard,
    TagPatterns,
    TagStability,
    UpdateWindow,
    Window,
    all_of,
)
from safeupdater.gates.combinators import GateLike
from safeupdater.protocols import AssetPolicy

BUILT_IN: dict[str, Plain] = SETTINGS.plain(Settings())
"""The settings that hold where a policy says nothing, in canonical plain form."""


def merge(base: Mapping[str, Plain], over: Mapping[str, Plain]) -> dict[str, Plain]:
    """Both settings in one: mappings merge by key, everything else is replaced by what ``over`` says."""
    merged = dict(base)
    for key, value in over.items():
        before = merged.get(key)
        both = isinstance(before, dict) and isinstance(value, dict)
        merged[key] = merge(before, value) if both else value  # type: ignore[arg-type]  # both are dicts
    return merged


def asset_policy(plain: dict[str, Plain]) -> AssetPolicy:
    """The policy that complete settings in canonical plain form are.

    Raises:
        PluginError: a plugin gate cannot be had.
    """
    settings, policy_hash = SETTINGS.value(plain), fingerprint(plain)
    return AssetPolicy(
        gate=all_of(*_gates(settings, policy_hash)),
        fingerprint=policy_hash,
        settings=OperationSettings(
            health=settings.health.policy(),
            rollback=settings.rollback.policy(),
            hooks=tuple(hook.hook() for hook in settings.hooks),
            unrunnable=settings.unrunnable,
            stop_timeout_s=settings.stop_timeout,
            policy=plain,
        ),
        enabled=settings.enabled,
        constraint=settings.constraint,
        allow_prerelease=settings.allow_prerelease,
        family=settings.family,
        max_major_step=settings.max_major_step,
        max_concurrent=settings.max_concurrent,
        approval_ttl_s=settings.approval_ttl,
        approvers=settings.approvers,
    )


def _gates(settings: Settings, policy_hash: str) -> Iterator[GateLike]:
    """The gates of an asset; those that settings leave without effect are left out."""
    actions = settings.semver_gates
    yield SemverGate(
        patch=actions.patch,
        minor=actions.minor,
        major=actions.major,
        prerelease=actions.prerelease,
        digest=actions.digest,
        zero_major=settings.zero_major,
    )
    yield Labels()
    yield TagStability()
    yield Ownership(allow=settings.allow_owners)
    yield BackOff(policy_hash)
    if settings.unrunnable is Unrunnable.DEFER:
        yield Running()
    yield StatefulGuard(declared=settings.stateful if isinstance(settings.stateful, bool) else None)
    if settings.constraint is not None:
        yield Constraint(settings.constraint)
    if settings.tags.include or settings.tags.exclude:
        yield TagPatterns(include=settings.tags.include, exclude=settings.tags.exclude)
    if settings.registries or settings.repositories:
        yield Sources(registries=settings.registries, repositories=settings.repositories)
    if settings.skip_versions:
        yield SkippedVersions(settings.skip_versions)
    if settings.image_changes != "ignore":
        yield ImageChanges(settings.image_changes)
    yield from _time_gates(settings)
    if settings.gates:
        yield from _plugin_gates(settings.gates)


def _time_gates(settings: Settings) -> Iterator[GateLike]:
    age = settings.minimum_age
    if age.age > 0:
        yield MinimumAge(age.age, basis=age.basis, unknown=age.unknown)
    windows = tuple(Window(item.days, item.start, item.end, item.timezone) for item in settings.windows)
    freezes = tuple(
        FreezePeriod(item.start, item.end, item.timezone, item.reason) for item in settings.freezes
    )
    if windows or freezes:
        yield UpdateWindow(windows, freezes)  # type: ignore[arg-type]  # mypy reads converter=tuple so
    if settings.freeze:
        yield Freeze(reason=settings.freeze if isinstance(settings.freeze, str) else "")


def _plugin_gates(names: tuple[str, ...]) -> Iterator[GateLike]:
    from safeupdater.config.plugins import plugin_gate  # metadata of every package: only where it is used

    for name in names:
        yield plugin_gate(name)
