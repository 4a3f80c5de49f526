"""Choosing, comparing and deciding, against the libraries that people would use otherwise.

Run: ``python -m benchmarks.versions [--tags 10000] [--rounds 9]``. Everything is measured alternately in this
run, in CPU time of this process, and the median is printed; budgets are ratios, so that a slow machine does
not matter. Exit status 3 where a budget is missed. node-semver joins where node and npm are there (wall time
of node's own clock, warm, since it has no cold start worth comparing).
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import packaging.version
import semver

from benchmarks.report import Line, printed
from safeupdater.analysis import SemVerAnalyzer, ranges, schemes, strict

ROOT = Path(__file__).resolve().parent.parent
Measured = dict[str, float]


def forget() -> None:
    """Empties every memo, so that the next measurement is a cold one."""
    for memo in (
        schemes.read_tag,
        schemes._family,
        schemes.final_release_pattern,
        ranges._parse,
        strict.parse_strict,
    ):
        memo.cache_clear()
    re.purge()


def alternately(rounds: int, **actions: Callable[[], object]) -> Measured:
    """The median CPU time of each action in ms, all of them once in every round, memos empty."""
    seen: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            forget()
            gc.collect()
            started = time.process_time()
            action()
            seen[name].append((time.process_time() - started) * 1e3)
    return {name: statistics.median(values) for name, values in seen.items()}


def one_family(count: int) -> list[str]:
    """Distinct final releases in the order in which a registry lists them: by text."""
    generator = random.Random(1)
    tags: set[str] = set()
    while len(tags) < count:
        tags.add(f"{generator.randint(0, 40)}.{generator.randint(0, 60)}.{generator.randint(0, 60)}")
    return sorted(tags)


def newest(count: int, rounds: int) -> list[Line]:
    tags, analyzer = one_family(count), SemVerAnalyzer()
    packaged, strictly = packaging.version.Version, semver.Version.parse
    suffixed = [f"{tag}-alpine" for tag in tags]
    one_line = [f"1.{number // 100}.{number % 100}" for number in range(count)]
    assert analyzer.find_update("0.0.1", tags).tag == str(max(map(strictly, tags)))
    took = alternately(
        rounds,
        ours=lambda: analyzer.find_update("0.0.1", tags),
        variant=lambda: analyzer.find_update("0.0.1-alpine", suffixed),
        one_line=lambda: analyzer.find_update("1.0.0", one_line),
        constraint=lambda: analyzer.find_update("0.0.1", tags, constraint="^20.1"),
        by_type=lambda: analyzer.find_updates("0.0.1", tags),
        explained=lambda: analyzer.find_update("0.0.1", tags).skipped,
        semver=lambda: max(map(strictly, tags)),
        packaging=lambda: max(map(packaged, tags)),
    )
    return [
        Line(f"newest of {count:,} tags, cold: find_update", took["ours"], "ms"),
        Line("  the same with a variant suffix", took["variant"], "ms"),
        Line("  the same, all of one major version", took["one_line"], "ms"),
        Line("  the same with a constraint", took["constraint"], "ms"),
        Line("  all by type: find_updates", took["by_type"], "ms"),
        Line("  every other tag explained: .skipped", took["explained"], "ms"),
        Line("  python-semver, parse and max", took["semver"], "ms"),
        Line("  packaging, parse and max", took["packaging"], "ms"),
        *_node(tags, rounds),
        Line("  ratio to python-semver", took["ours"] / took["semver"], "x", 0.5),
        Line("  ratio to packaging", took["ours"] / took["packaging"], "x", 1.0),
    ]


def _node(tags: list[str], rounds: int) -> list[Line]:
    oracle = _load(ROOT / "tests" / "differential" / "node_semver.py")
    try:
        [times] = oracle.ask([("bench", tags, "*", rounds)])
    except (oracle.NodeMissing, OSError, subprocess.SubprocessError) as error:
        print(f"node-semver is left out: {error}", file=sys.stderr)
        return []
    return [
        Line("  node-semver maxSatisfying, first", times[0], "ms"),
        Line("  node-semver maxSatisfying, warm", statistics.median(times), "ms"),
    ]


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def warm(action: Callable[[], object], times: int, rounds: int) -> float:
    """The median CPU time of one call in µs, everything already remembered."""
    seen = []
    action()
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(times):
            action()
        seen.append((time.process_time() - started) / times * 1e6)
    return statistics.median(seen)


def comparing(rounds: int) -> list[Line]:
    analyzer, first, second = SemVerAnalyzer(), "1.25.3-alpine", "1.27.0-alpine"
    return [
        Line(
            "warm compare_versions",
            warm(lambda: analyzer.compare_versions(first, second), 10_000, rounds),
            "us",
            5,
        ),
        Line(
            "  python-semver compare", warm(lambda: semver.compare("1.25.3", "1.27.0"), 10_000, rounds), "us"
        ),
    ]


def deciding(rounds: int, assets: int = 1_000) -> list[Line]:
    """Five gates over many assets, each with its own versions."""
    try:
        from safeupdater import gates
        from safeupdater.domain.artifact import ImageReference
        from safeupdater.domain.asset import Asset, AssetType
        from safeupdater.domain.candidate import Candidate, Facts
        from safeupdater.domain.change import Change, VersionChangeType
    except ImportError as error:
        print(f"deciding is left out: {error}", file=sys.stderr)
        return []
    now = datetime(2024, 6, 12, 12, tzinfo=UTC)
    facts = Facts(published_at=datetime(2024, 6, 1, tzinfo=UTC), owner="")

    def candidate(number: int) -> Candidate:
        old = ImageReference.parse(f"registry.example/team/app{number}:1.{number % 40}.{number % 7}")
        new = old.with_tag(f"1.{number % 40}.{number % 7 + 1}")
        asset_id = f"memory://local/app{number}"
        return Candidate(
            asset=Asset(id=asset_id, name=f"app{number}", asset_type=AssetType.CONTAINER, image=old),
            change=Change(asset_id=asset_id, current=old, new=new, change_type=VersionChangeType.PATCH),
            now=now,
            facts=facts,
        )

    policy = gates.all_of(
        gates.SemverGate(),
        gates.MinimumAge(3 * 86_400.0),
        gates.Constraint("^1"),
        gates.Ownership(),
        gates.StatefulGuard(),
    )
    gate, candidates = gates.DiffGate(policy), [candidate(number) for number in range(assets)]
    assert all(gate.decide(each).safe for each in candidates)
    took = warm(lambda: [gate.decide(each) for each in candidates], 1, rounds) / assets
    return [Line(f"a policy of 5 gates, each of {assets:,} assets", took, "us", 40)]


_IMPORT = """
import sys, time
before = set(sys.modules)
started = time.perf_counter()
import safeupdater
took = time.perf_counter() - started
import json
heavy = [name for name in ("docker", "kubernetes", "urllib3", "yaml") if name in sys.modules]
print(json.dumps([took * 1e3, len(set(sys.modules) - before), heavy]))
"""


def importing(rounds: int) -> list[Line]:
    """``import safeupdater`` in fresh interpreters: the best of the rounds, since only the code matters."""
    seen = []
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, "-c", _IMPORT], cwd=ROOT, capture_output=True, text=True, check=True
        )
        seen.append(json.loads(done.stdout))
    took, modules, heavy = min(seen)
    return [
        Line("import safeupdater", took, "ms", 60),
        Line("  modules that it loads", modules, ""),
        Line("  of docker, kubernetes, urllib3, yaml", len(heavy), "", 0),
    ]


def main() -> int:
    """Prints the table; the exit status says whether every budget was kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--tags", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    return printed(
        [
            *newest(asked.tags, asked.rounds),
            *comparing(asked.rounds),
            *deciding(asked.rounds),
            *importing(asked.rounds),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
