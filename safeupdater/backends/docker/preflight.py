"""What is looked at before anything is touched: refusals with their reason, and warnings."""

from __future__ import annotations

from safeupdater.backends.docker.cautions import CAUTIONS
from safeupdater.backends.docker.refusals import REFUSALS
from safeupdater.backends.docker.snapshot import is_running
from safeupdater.backends.docker.subject import Subject
from safeupdater.domain.operation import PreflightReport


def preflight(subject: Subject) -> PreflightReport:
    """The first refusal, else all warnings."""
    for check in REFUSALS:
        refusal = check(subject)
        if refusal is not None:
            return PreflightReport(refusal=refusal, running=is_running(subject.inspect))
    return PreflightReport(
        warnings=tuple(warning for look in CAUTIONS for warning in look(subject)),
        running=is_running(subject.inspect),
    )
