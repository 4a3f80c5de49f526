"""The policy as the engine asks it: what a foreign one raises is an error of ours, and ends nothing else."""

from __future__ import annotations

from collections.abc import Callable

from safeupdater.domain.asset import Asset
from safeupdater.domain.settings import JournalRetention
from safeupdater.errors import PluginError, border
from safeupdater.protocols import AssetPolicy, PolicySource


class AskedPolicy:
    """A source of policies behind a border: it answers an ``AssetPolicy``, or raises one of our errors."""

    def __init__(self, inner: PolicySource) -> None:
        self.inner = inner

    @property
    def origin(self) -> str:
        """What tells one source of policies from another, in a later process too: a file, or a class."""
        found = getattr(self.inner, "origin", None)
        kind = type(self.inner)
        return found if isinstance(found, str) and found else f"{kind.__module__}.{kind.__qualname__}"

    @property
    def retention(self) -> JournalRetention:
        """How long the past is kept, as the source says it; as by default where it says nothing.

        Raises:
            PluginError: the source raised, or says something else.
        """
        with border("the policy"):
            found = getattr(self.inner, "retention", JournalRetention())
            if not isinstance(found, JournalRetention):
                raise PluginError(f"the policy's retention is a {type(found).__name__}, no JournalRetention")
            return found

    def for_asset(self, asset: Asset) -> AssetPolicy:
        """The effective policy of one asset.

        Raises:
            PluginError: the source raised, or answered something else.
        """
        with border("the policy"):
            return _checked(self.inner.for_asset(asset))

    def defaults(self) -> AssetPolicy:
        """The policy without any rule.

        Raises:
            PluginError: the source raised, or answered something else.
        """
        with border("the policy"):
            return _checked(self.inner.defaults())

    def reread(self) -> AskedPolicy:
        """The policy as it is now: one that was loaded from a file is read again when that changes.

        Raises:
            ConfigurationError: its file cannot be used.
            PluginError: the source raised.
        """
        again: Callable[[], PolicySource] | None = getattr(self.inner, "reread", None)
        if again is None:
            return self
        with border("the policy"):
            present = again()
        return self if present is self.inner else AskedPolicy(present)


def _checked(answer: AssetPolicy) -> AssetPolicy:
    if not isinstance(answer, AssetPolicy):
        raise PluginError(f"the policy answered a {type(answer).__name__} instead of an AssetPolicy")
    return answer
