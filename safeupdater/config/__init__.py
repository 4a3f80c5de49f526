"""Policies: what may happen to which asset, read from a file or a mapping."""

from safeupdater.config.explain import Explanation
from safeupdater.config.policy import Policy

__all__ = ["Explanation", "Policy"]
