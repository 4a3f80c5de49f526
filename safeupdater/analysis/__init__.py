"""Reading versions, comparing them, and choosing among tags. Pure: no I/O, no clock."""

from safeupdater.analysis.analyzer import SemVerAnalyzer
from safeupdater.analysis.ranges import VersionRange
from safeupdater.analysis.selection import Selection, Selections, Skipped

__all__ = ["Selection", "Selections", "SemVerAnalyzer", "Skipped", "VersionRange"]
