"""What the journal keeps of the policy that an operation runs under."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from safeupdater.domain.operation import OperationSettings

LEFT_OUT = "(not kept)"


def journaled(settings: OperationSettings) -> OperationSettings:
    """The same settings; their policy in words without what people write secrets into.

    Hooks and checks themselves stay whole: whoever takes the operation over has to run them.
    """
    replaced: dict[str, object] = {}
    if isinstance(hooks := settings.policy.get("hooks"), list):
        replaced["hooks"] = [_without(hook, "command") for hook in hooks]
    health = settings.policy.get("health")
    if isinstance(health, Mapping) and isinstance(checks := health.get("checks"), list):
        kept = [{**check, **dict.fromkeys(check.keys() - {"type"}, LEFT_OUT)} for check in checks]
        replaced["health"] = {**health, "checks": kept}
    return attrs.evolve(settings, policy={**settings.policy, **replaced}) if replaced else settings


def _without(section: Mapping[str, object], key: str) -> dict[str, object]:
    return {**section, key: [LEFT_OUT]} if key in section else dict(section)
