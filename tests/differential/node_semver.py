"""node-semver as an oracle: one node process that answers questions given as JSON lines.

The npm package is a development tool. It is installed on first use into the user's cache directory, outside
of the repository; ``SAFEUPDATER_NODE_CACHE`` names another place.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

PACKAGE = "semver@7.8.6"

_SCRIPT = """
const semver = require('semver');
const lines = require('readline').createInterface({ input: process.stdin });
const ask = {
  compare: (a, b) => semver.compare(a, b),
  diff: (a, b) => semver.diff(a, b),
  satisfies: (v, r, p) => new semver.Range(r, { includePrerelease: p }).test(v),
  max: (tags, r) => semver.maxSatisfying(tags, r),
  bench: (tags, r, n) => {
    const seen = [];
    for (let i = 0; i < n; i++) {
      const start = process.hrtime.bigint();
      semver.maxSatisfying(tags, r);
      seen.push(Number(process.hrtime.bigint() - start) / 1e6);
    }
    return seen;
  },
};
lines.on('line', (line) => {
  const [name, ...rest] = JSON.parse(line);
  let answer;
  try { answer = ask[name](...rest); } catch (error) { answer = 'error'; }
  process.stdout.write(JSON.stringify(answer === undefined ? null : answer) + '\\n');
});
"""


class NodeMissing(Exception):
    """node or npm is not there, or the package cannot be installed."""


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SAFEUPDATER_NODE_CACHE") or Path(home) / "safeupdater-node")


def install() -> Path:
    """The directory in which node finds the package, installed if need be."""
    cache = _cache()
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NodeMissing("node and npm are not installed")
    installed = cache / "node_modules" / "semver" / "package.json"
    if not installed.exists() or json.loads(installed.read_text())["version"] != PACKAGE.partition("@")[2]:
        cache.mkdir(parents=True, exist_ok=True)
        (cache / "package.json").write_text('{"private": true}')
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
        done = subprocess.run(command, cwd=cache, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise NodeMissing(f"npm could not install {PACKAGE}: {done.stderr.strip()[-200:]}")
    return cache


def ask(questions: Sequence[Sequence[object]]) -> list[object]:
    """node-semver's answers, in order; ``"error"`` where it threw. One process for all of them."""
    done = subprocess.run(
        ["node", "-e", _SCRIPT],
        cwd=install(),
        input="".join(json.dumps(question) + "\n" for question in questions),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]
