"""The decision matrix as the gates really decide it: what the documentation prints."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from safeupdater.domain.change import VersionChangeType
from safeupdater.domain.decision import Decision
from safeupdater.gates.diffgate import DiffGate
from safeupdater.gates.semver import ACTIONS, SemverGate

_DIGESTS = tuple(f"@sha256:{letter * 64}" for letter in "ab")
EXAMPLES = {
    VersionChangeType.PATCH: ("1.2.3", "1.2.4"),
    VersionChangeType.MINOR: ("1.2.3", "1.3.0"),
    VersionChangeType.MAJOR: ("1.2.3", "2.0.0"),
    VersionChangeType.PRERELEASE: ("1.2.3", "1.3.0-rc.1"),
    VersionChangeType.DIGEST: (f"1.2.3{_DIGESTS[0]}", f"1.2.3{_DIGESTS[1]}"),
}
"""One step of each change type."""

REFUSED = (("1.2.3", "not-a-version"), ("1.2.3", "1.2.3"), ("1.2.3", "1.2.2"))
"""Steps that no action allows: the leaves of the decision tree that reject."""


@attrs.frozen
class Row:
    """One line of the matrix: what was asked, under which action (None: under any), and the decision."""

    change: str
    action: str | None
    decision: Decision

    def __str__(self) -> str:
        marks = ["yes" if mark else "no" for mark in (self.decision.safe, self.decision.auto_update)]
        code = self.decision.reasons[0].code
        cells = [self.change, self.action or "any", str(self.decision.verdict), *marks, f"`{code}`"]
        return f"| {' | '.join(cells)} |"


def rows() -> Iterator[Row]:
    """Every change type under every action, and then what every action rejects."""
    for change_type, (current, new) in EXAMPLES.items():
        for action in ACTIONS:
            gate = DiffGate(SemverGate(**{change_type.value: action}))
            yield Row(change_type.name, action, gate.evaluate_update(current, new))
    for current, new in REFUSED:
        yield Row(f"{current} → {new}", None, DiffGate(SemverGate()).evaluate_update(current, new))


def render() -> str:
    """The matrix as a Markdown table."""
    head = "| Change type | Gate action | Decision | Safe | Auto-update | Code |\n|---|---|---|---|---|---|"
    return "\n".join([head, *map(str, rows())])
