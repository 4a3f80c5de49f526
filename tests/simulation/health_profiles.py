"""What the health rules do to simulated versions: false rollbacks, missed failures, and how fast.

    python -m tests.simulation.health_profiles --windows 20000

prints one row per profile and window size, and exits with 1 where a promise is broken. Every figure in
``docs/explanation/health-verdicts.md`` comes from it; the same seed gives the same table.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import random
import statistics
import sys
from collections.abc import Callable, Iterator
from functools import partial

import attrs

from safeupdater.domain.health import Baseline, HealthPolicy, Judgement, Rule, Sample, SampleStatus
from safeupdater.health import Window

OK, FAILED, VOID = SampleStatus.OK, SampleStatus.FAILED, SampleStatus.VOID
SIZES = (30, 60, 120, 300)
PROMISED_FROM = 30
"""Shorter windows are shown, and promise nothing: they see too little."""
BLIP = 5
STEP_BUDGET = 2000

Behaviour = Callable[[random.Random, int], Iterator[SampleStatus]]


def failing(rng: random.Random, due: int, *, share: float, void: float = 0.0) -> Iterator[SampleStatus]:
    """Every probe fails with the same probability, and cannot measure with another."""
    while True:
        if void and rng.random() < void:
            yield VOID
        else:
            yield FAILED if rng.random() < share else OK


def blips(rng: random.Random, due: int, *, noise: float, every: int) -> Iterator[SampleStatus]:
    """Noise, and interruptions of ``BLIP`` probes each, one per so many probes on average."""
    while True:
        if rng.random() < 1 / every:
            yield from (FAILED for _ in range(BLIP))
        yield FAILED if rng.random() < noise else OK


def one_blip(rng: random.Random, due: int, *, noise: float) -> Iterator[SampleStatus]:
    """Noise, and exactly one interruption of ``BLIP`` probes somewhere in the window."""
    begins = rng.randrange(max(1, due - BLIP))
    for probe in itertools.count():
        blip = begins <= probe < begins + BLIP
        yield FAILED if blip or rng.random() < noise else OK


def flapping(rng: random.Random, due: int, *, down: int, up: int) -> Iterator[SampleStatus]:
    """Down for some probes, up for others, again and again, from a random point of the cycle on."""
    for probe in itertools.count(rng.randrange(down + up)):
        yield FAILED if probe % (down + up) < down else OK


def turning(
    rng: random.Random, due: int, *, after: float, share: float, noise: float = 0.02
) -> Iterator[SampleStatus]:
    """Noise until a part of the window is over, then a failing share."""
    for probe in itertools.count():
        yield FAILED if rng.random() < (noise if probe < after * due else share) else OK


@attrs.frozen(kw_only=True)
class Profile:
    """A simulated version and what is promised for it, as shares of all windows; None: only shown."""

    name: str
    behaviour: Behaviour
    baseline: Baseline | None = None
    rule: Rule = Rule.SEQUENTIAL
    max_rolled_back: float | None = None
    max_committed: float | None = None


PROFILES = (
    Profile(name="never fails", behaviour=partial(failing, share=0.0), max_rolled_back=0.0),
    Profile(name="1 % noise", behaviour=partial(failing, share=0.01), max_rolled_back=0.002),
    Profile(name="2 % noise", behaviour=partial(failing, share=0.02), max_rolled_back=0.002),
    Profile(
        name="2 % noise, 10 % void", behaviour=partial(failing, share=0.02, void=0.1), max_rolled_back=0.002
    ),
    Profile(
        name="2 % noise, a 5-probe blip per 500 probes",
        behaviour=partial(blips, noise=0.02, every=500),
        max_rolled_back=0.005,
    ),
    Profile(name="2 % noise, a 5-probe blip in every window", behaviour=partial(one_blip, noise=0.02)),
    Profile(
        name="5 % noise, as 6 of 120 before",
        behaviour=partial(failing, share=0.05),
        baseline=Baseline(samples=120, failures=6),
    ),
    Profile(name="5 % failing, no baseline", behaviour=partial(failing, share=0.05)),
    Profile(name="10 % failing", behaviour=partial(failing, share=0.10)),
    Profile(name="20 % failing", behaviour=partial(failing, share=0.20), max_committed=0.01),
    Profile(
        name="20 % failing, 10 % void", behaviour=partial(failing, share=0.20, void=0.1), max_committed=0.01
    ),
    Profile(
        name="20 % failing, 6 of 120 before",
        behaviour=partial(failing, share=0.20),
        baseline=Baseline(samples=120, failures=6),
        max_committed=0.01,
    ),
    Profile(name="20 % down in turns of 5 of 25", behaviour=partial(flapping, down=5, up=20)),
    Profile(name="50 % failing", behaviour=partial(failing, share=0.50), max_committed=0.0),
    Profile(name="always fails", behaviour=partial(failing, share=1.0), max_committed=0.0),
    Profile(
        name="dead after half the window", behaviour=partial(turning, after=0.5, share=1.0), max_committed=0.0
    ),
    Profile(
        name="dead for the last tenth", behaviour=partial(turning, after=0.9, share=1.0), max_committed=0.0
    ),
    Profile(
        name="50 % failing after half", behaviour=partial(turning, after=0.5, share=0.5), max_committed=0.002
    ),
    Profile(name="no data", behaviour=partial(failing, share=0.0, void=1.0), max_committed=0.0),
    Profile(name="60 % void, else good", behaviour=partial(failing, share=0.0, void=0.6)),
    Profile(name="plain rate: 2 % noise", behaviour=partial(failing, share=0.02), rule=Rule.FAILURE_RATE),
    Profile(name="plain rate: 20 % failing", behaviour=partial(failing, share=0.20), rule=Rule.FAILURE_RATE),
)


@attrs.frozen(kw_only=True)
class Row:
    """What became of a profile's windows of one size; the shares are of all windows."""

    profile: Profile
    due: int
    windows: int
    committed: float
    unhealthy: float
    inconclusive: float
    mean_samples: float
    longest: int

    @property
    def rolled_back(self) -> float:
        """Everything that is not committed: what a good version suffers."""
        return self.unhealthy + self.inconclusive

    @property
    def broken(self) -> str:
        """The promise that this row breaks, in words; empty where it keeps them all."""
        if self.due < PROMISED_FROM:
            return ""
        promised = self.profile.max_rolled_back
        if promised is not None and self.rolled_back > promised:
            return f"rolled back {self.rolled_back:.2%} > {promised:.2%}"
        promised = self.profile.max_committed
        if promised is not None and self.committed > promised:
            return f"committed {self.committed:.2%} > {promised:.2%}"
        return ""


def watch(profile: Profile, policy: HealthPolicy, due: int, rng: random.Random) -> tuple[Judgement, int]:
    """One window from its opening to its verdict, and how many samples it took."""
    window = Window.open(policy, 0.0, profile.baseline)
    samples = profile.behaviour(rng, due)
    for taken in range(1, STEP_BUDGET):
        now_s = window.next_due_s
        window = window.add(Sample(next(samples), now_s))
        verdict = window.judge(now_s)
        if verdict is not None:
            return verdict.judgement, taken
    raise AssertionError(f"a window of {due} samples did not end within {STEP_BUDGET}: {profile.name}")


def simulate(profile: Profile, due: int, windows: int, seed: int) -> Row:
    """The row of one profile and window size."""
    rng = random.Random(f"{seed}/{profile.name}/{due}")
    policy = HealthPolicy(window_s=10.0 * due, interval_s=10.0, rule=profile.rule)
    ends = [watch(profile, policy, due, rng) for _ in range(windows)]
    judgements = [judgement for judgement, _ in ends]
    taken = [count for _, count in ends]
    return Row(
        profile=profile,
        due=due,
        windows=windows,
        committed=judgements.count(Judgement.HEALTHY) / windows,
        unhealthy=judgements.count(Judgement.UNHEALTHY) / windows,
        inconclusive=judgements.count(Judgement.INCONCLUSIVE) / windows,
        mean_samples=statistics.fmean(taken),
        longest=max(taken),
    )


def table(rows: list[Row]) -> str:
    """The rows for people."""
    lines = [
        f"{'profile':<44}{'due':>4}{'committed':>11}{'unhealthy':>11}{'inconcl.':>10}"
        f"{'mean':>7}{'max':>5}  promise"
    ]
    for row in rows:
        lines.append(
            f"{row.profile.name:<44}{row.due:>4}{row.committed:>11.3%}{row.unhealthy:>11.3%}"
            f"{row.inconclusive:>10.3%}{row.mean_samples:>7.1f}{row.longest:>5}  {_promise(row)}"
        )
    return "\n".join(lines)


def _promise(row: Row) -> str:
    if row.broken:
        return f"BROKEN: {row.broken}"
    if row.due < PROMISED_FROM:
        return ""
    if row.profile.max_rolled_back is not None:
        return f"rolled back ≤ {row.profile.max_rolled_back:.1%}: kept"
    if row.profile.max_committed is not None:
        return f"committed ≤ {row.profile.max_committed:.1%}: kept"
    return ""


def main(arguments: list[str] | None = None) -> int:
    """Runs every profile and prints the table; 1 where a promise is broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--windows", type=int, default=20_000, help="windows per profile and size")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="due samples per window")
    parser.add_argument("--only", default="", help="only profiles whose name contains this")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args(arguments)
    chosen = [index for index, profile in enumerate(PROFILES) if options.only in profile.name]
    cells = [(index, due, options.windows, options.seed) for index in chosen for due in options.sizes]
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        rows = list(pool.map(_cell, cells))
    print(f"{options.windows} windows per row, seed {options.seed}")
    print(table(rows))
    return 1 if any(row.broken for row in rows) else 0


def _cell(cell: tuple[int, int, int, int]) -> Row:
    index, due, windows, seed = cell
    return simulate(PROFILES[index], due, windows, seed)


if __name__ == "__main__":
    sys.exit(main())
