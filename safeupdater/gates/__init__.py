"""Rules that decide on candidates, and how they compose."""

from safeupdater.gates.age import MinimumAge
from safeupdater.gates.attempts import BackOff, Running
from safeupdater.gates.combinators import AllOf, AnyOf, Composable, all_of, any_of, gate
from safeupdater.gates.constraint import Constraint, SkippedVersions
from safeupdater.gates.diffgate import DiffGate
from safeupdater.gates.evaluation import evaluate
from safeupdater.gates.hard import NeverDown, NotQuarantined, Parsable, SameFamily, SchemeSanity
from safeupdater.gates.image import ImageChanges
from safeupdater.gates.ownership import Labels, Ownership
from safeupdater.gates.patterns import Sources, TagPatterns
from safeupdater.gates.semver import SemverGate
from safeupdater.gates.stability import TagStability
from safeupdater.gates.stateful import StatefulGuard
from safeupdater.gates.window import Freeze, FreezePeriod, UpdateWindow, Window

__all__ = [
    "AllOf",
    "AnyOf",
    "BackOff",
    "Composable",
    "Constraint",
    "DiffGate",
    "Freeze",
    "FreezePeriod",
    "ImageChanges",
    "Labels",
    "MinimumAge",
    "NeverDown",
    "NotQuarantined",
    "Ownership",
    "Parsable",
    "Running",
    "SameFamily",
    "SchemeSanity",
    "SemverGate",
    "SkippedVersions",
    "Sources",
    "StatefulGuard",
    "TagPatterns",
    "TagStability",
    "UpdateWindow",
    "Window",
    "all_of",
    "any_of",
    "evaluate",
    "gate",
]
