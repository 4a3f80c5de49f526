"""Rules that decide on candidates, and how they compose."""

from safeupdater.gates.age import MinimumAge
from safeupdater.gates.combinators import AllOf, AnyOf, Composable, all_of, any_of, evaluate, gate
from safeupdater.gates.ownership import Labels, Ownership
from safeupdater.gates.patterns import Sources, TagPatterns
from safeupdater.gates.window import Freeze, FreezePeriod, UpdateWindow, Window

__all__ = [
    "AllOf",
    "AnyOf",
    "Composable",
    "Freeze",
    "FreezePeriod",
    "Labels",
    "MinimumAge",
    "Ownership",
    "Sources",
    "TagPatterns",
    "UpdateWindow",
    "Window",
    "all_of",
    "any_of",
    "evaluate",
    "gate",
]
