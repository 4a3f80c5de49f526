"""A plugin package: after ``pip install .`` policies and command lines find its parts by name."""

from collections.abc import Mapping

from safeupdater import gate
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.health import Sample, SampleStatus
from safeupdater.domain.notice import AlertRaised, Notice
from safeupdater.domain.operation import JournalEntry
from safeupdater.protocols import Observer, ProbeTarget


@gate
def office_hours(candidate: Candidate) -> bool:
    """``gates: [office_hours]``: only while somebody is there. Gates read no clock: the time is given."""
    now = candidate.now
    return now is not None and now.weekday() < 5 and 7 <= now.hour < 17


class Ready:
    """``checks: [{type: acme_ready, command: /app/ready}]``: a command in the container says whether."""

    def __init__(self, *, command: str) -> None:
        self.command = command

    def check(self, target: ProbeTarget, timeout_s: float) -> Sample:
        """One measurement."""
        code = target.execute([self.command], timeout_s).exit_code
        return Sample(SampleStatus.FAILED if code else SampleStatus.OK, detail=f"exit code {code}")

    def self_test(self, timeout_s: float) -> Sample:
        """Nothing runs where nothing is."""
        return Sample(SampleStatus.FAILED, detail="no container")


class Log:
    """``--observer acme_log``: writes alerts to a file of Acme's."""

    def __init__(self, path: str) -> None:
        self.path = path

    def notify(self, happening: JournalEntry | Notice) -> None:
        """Adds a line for each alert."""
        if isinstance(happening, AlertRaised):
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(f"{happening.code} {happening.target_id}\n")


def log(environ: Mapping[str, str]) -> Observer:
    """Makes the observer; variables of a plugin have a prefix of its own."""
    return Log(environ.get("ACME_LOG", "/var/log/acme-updates.log"))
