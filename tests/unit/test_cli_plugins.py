"""Runtimes, registries, facts and observers of other packages, called by name on a command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

from safeupdater import Updater
from safeupdater.cli.app import run
from safeupdater.cli.session import World
from safeupdater.errors import ConfigurationError, PluginError
from tests.support.packages import Site

PLACE = """
from safeupdater.backends.memory import MemoryBackend, MemoryWorld
from safeupdater.testing.clock import FakeClock

world = MemoryWorld(FakeClock(), host="prod-1")
world.run("web", "example/web:1.0.0")
world.publish("example/web:1.0.1")
environs = []

def backend(environ):
    environs.append(environ)
    return MemoryBackend(world)

def tags(environ):
    environs.append(environ)
    return world
"""

NAMED = {"SAFEUPDATER_BACKEND": "acme", "SAFEUPDATER_REGISTRY": "acme"}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    made = Site(tmp_path)
    made.install("acme-place", "acme_place", PLACE, group="backends", acme="backend")
    made.install("acme-tags", "acme_tags", "from acme_place import tags", group="registries", acme="tags")
    yield made
    made.forget()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state"), "SUDO_USER": "ann"}


@pytest.fixture
def command(site: Site, environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Run:
    def ran(*arguments: str) -> tuple[int, str, str]:
        clock = import_module("acme_place").world.clock
        code = run(arguments, World(environ=environ, clock=clock))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return ran


def running() -> str:
    return str(sys.modules["acme_place"].world.containers["web"].image).partition("@")[0].rpartition(":")[2]


# --- runtimes and registries ------------------------------------------------------------------------------


def test_a_runtime_and_a_registry_of_packages_are_planned_and_updated(
    command: Run, environ: dict[str, str]
) -> None:
    place = ("--backend", "acme", "--registry", "acme")
    code, out, _ = command("plan", *place)
    assert code == 0
    assert "1.0.0 → 1.0.1 (patch)" in out

    code, out, _ = command("apply", "--yes", *place)

    assert code == 0
    assert "succeeded" in out
    assert running() == "1.0.1"
    assert all(given is environ for given in sys.modules["acme_place"].environs)


def test_the_environment_names_them_too_for_the_command_line_and_the_facade(
    command: Run, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in NAMED.items():
        monkeypatch.setenv(name, value)
    assert "(patch)" in command("plan")[1]

    with Updater.from_env({**environ, **NAMED}, clock=sys.modules["acme_place"].world.clock) as updater:
        updater.scan()
        (planned,) = updater.plan().approved
    assert planned.target_id == "memory://prod-1/web"


def test_a_name_that_is_no_backend_names_those_on_offer(command: Run, environ: dict[str, str]) -> None:
    code, _, err = command("scan", "--backend", "amce")
    assert code == 1
    assert "'amce' is not a backend" in err
    assert "or an installed one: acme" in err
    with pytest.raises(ConfigurationError, match="or an installed one: acme"):
        Updater.from_env({**environ, "SAFEUPDATER_BACKEND": "amce"})


@pytest.mark.parametrize(
    ("option", "group"),
    [("--registry", "registries"), ("--facts", "fact_sources"), ("--observer", "observers")],
)
def test_a_name_that_nobody_offers_stops_the_command_before_anything_happens(
    option: str, group: str, command: Run
) -> None:
    code, _, err = command("apply", "--yes", "--backend", "acme", "--registry", "acme", option, "nobody")
    assert code == 1
    assert f"no package offers 'nobody' in safeupdater.{group}" in err
    assert running() == "1.0.0"


def test_one_runtime_twice_is_refused(command: Run) -> None:
    code, _, err = command("scan", "--backend", "acme", "--backend", "acme")
    assert code == 1
    assert "two backends lead to the same host prod-1" in err


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def make(environ): raise ValueError('hunter2')", "raised ValueError"),
        ("def make(environ): return 'hunter2'", "made a str, which is no Backend"),
        ("make = 'hunter2'", "is a str, and not a callable"),
    ],
)
def test_what_makes_no_backend_is_an_error_without_the_foreign_text(
    code: str, says: str, site: Site, command: Run
) -> None:
    site.install("acme-bad", "acme_bad", code, group="backends", bad="make")
    status, out, err = command("scan", "--backend", "bad", "--verbose")
    assert status == 1
    assert says in err
    assert "hunter2" not in out + err


BROKEN = """
import acme_place
from safeupdater.backends.memory import MemoryBackend

class Broken(MemoryBackend):
    host = "prod-2"

    def scan(self):
        raise ValueError("hunter2")

class Lost(MemoryBackend):
    @property
    def host(self):
        raise ValueError("hunter2")

def make(environ):
    return Broken(acme_place.world)

def lost(environ):
    return Lost(acme_place.world)
"""


@pytest.mark.parametrize("name", ["broken", "lost"])
def test_a_runtime_that_raises_is_left_out_and_the_others_are_looked_at(
    name: str, site: Site, command: Run
) -> None:
    site.install("acme-broken", "acme_broken", BROKEN, group="backends", broken="make", lost="lost")
    code, out, err = command("scan", "--backend", "acme", "--backend", name)
    assert code == 0
    assert "web" in out
    assert "raised ValueError" in err
    assert "hunter2" not in out + err


def test_a_registry_that_raises_makes_no_plan(site: Site, command: Run) -> None:
    code = """
    import acme_place

    class Broken:
        def __getattr__(self, name):
            return getattr(acme_place.world, name)

        def lookup_many(self, images):
            raise ValueError("hunter2")

    def make(environ):
        return Broken()
    """
    site.install("acme-broken", "acme_broken", code, group="registries", broken="make")
    status, out, err = command("plan", "--backend", "acme", "--registry", "broken")
    assert status == 1
    assert "the source of tags raised ValueError" in err
    assert "hunter2" not in out + err


# --- facts and observers ----------------------------------------------------------------------------------

FACTS = """
class Mood:
    provides = frozenset({"acme.mood"})

    def facts(self, candidate):
        return {"acme.mood": "good"}

class Grumpy:
    provides = frozenset({"acme.mood"})

    def facts(self, candidate):
        raise ValueError("hunter2")

class Mute:
    @property
    def provides(self):
        raise ValueError("hunter2")

    def facts(self, candidate):
        return {"acme.mood": "good"}

class Empty(Grumpy):
    def facts(self, candidate):
        return None

def mood(environ): return Mood()
def grumpy(environ): return Grumpy()
def mute(environ): return Mute()
def empty(environ): return Empty()
"""

GATE = """
from safeupdater.gates import gate

@gate(needs=["acme.mood"])
def in_mood(candidate):
    return candidate.facts.extra.get("acme.mood") == "good"
"""


@pytest.fixture
def moody(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install(
        "acme-facts", "acme_facts", FACTS, group="fact_sources",
        mood="mood", grumpy="grumpy", mute="mute", empty="empty",
    )  # fmt: skip
    site.install("acme-gate", "acme_gate", GATE, in_mood="in_mood")
    (site.path / "policy.yaml").write_text("version: 1\ngates: [in_mood]\n")
    (site.path / "policy.yaml").chmod(0o600)
    for name, value in NAMED.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("moody")
def test_a_source_of_facts_tells_a_gate_what_it_needs(command: Run) -> None:
    assert "succeeded" in command("apply", "--yes", "--facts", "mood")[1]


@pytest.mark.usefixtures("moody")
@pytest.mark.parametrize("names", [(), ("grumpy",), ("mute",), ("empty",)])
def test_a_source_that_is_not_named_or_fails_leaves_the_fact_unknown(
    names: tuple[str, ...], command: Run
) -> None:
    given = [part for name in names for part in ("--facts", name)]
    code, out, err = command("apply", "web", "--yes", *given)
    assert "succeeded" not in out
    assert running() == "1.0.0"
    assert "hunter2" not in out + err
    assert code == 4


@pytest.mark.usefixtures("moody")
def test_the_facade_takes_facts_by_name_from_the_environment(environ: dict[str, str]) -> None:
    for names, approved in (("mood", 1), ("grumpy", 0), ("", 0)):
        updater = Updater.from_env({**environ, **NAMED, "SAFEUPDATER_FACTS": names})
        updater.scan()
        assert len(updater.plan().approved) == approved
    with pytest.raises(PluginError, match=r"no package offers 'food' in safeupdater\.fact_sources"):
        Updater.from_env({**environ, **NAMED, "SAFEUPDATER_FACTS": "mood food"})


OBSERVERS = """
heard = []

class Listener:
    def notify(self, happening):
        heard.append(type(happening).__name__)

    def close(self):
        heard.append("closed")

class Rude:
    def notify(self, happening):
        raise ValueError("hunter2")

    def close(self):
        raise ValueError("hunter2")

def listener(environ): return Listener()
def rude(environ): return Rude()
"""


def test_an_observer_of_a_package_hears_what_happens_and_is_closed(site: Site, command: Run) -> None:
    site.install("acme-ears", "acme_ears", OBSERVERS, group="observers", ears="listener", rude="rude")
    place = ("--backend", "acme", "--registry", "acme")

    code, out, err = command("apply", "--yes", *place, "--observer", "rude", "--observer", "ears")

    assert code == 0
    assert "succeeded" in out
    heard = sys.modules["acme_ears"].heard
    assert "JournalEntry" in heard
    assert heard[-1] == "closed"
    assert heard.count("closed") == 1
    assert "closing the observer rude raised ValueError" in err
    assert "hunter2" not in out + err


# --- doctor -----------------------------------------------------------------------------------------------


def test_doctor_looks_at_every_plugin_that_is_named(site: Site, command: Run) -> None:
    site.install("acme-ears", "acme_ears", OBSERVERS, group="observers", ears="listener")
    code, out, _ = command(
        "doctor", "--backend", "acme", "--registry", "acme", "--observer", "ears", "--facts", "nobody"
    )
    assert code == 1
    assert "✓ memory on prod-1" in out
    assert "✓ registry plugin acme" in out
    assert "✓ observer ears" in out
    assert "✗ facts nobody" in out


def test_doctor_goes_on_where_a_plugin_is_broken(site: Site, command: Run) -> None:
    site.install("acme-broken", "acme_broken", BROKEN, group="backends", broken="make", lost="lost")
    command("scan", "--backend", "acme")
    code, out, err = command(
        "doctor", "--backend", "broken", "--backend", "lost", "--backend", "nobody", "--registry", "nobody"
    )
    assert code == 1
    assert "✓ state" in out
    assert "✗ state" not in out
    assert "✗ memory on prod-2" in out
    assert "✗ backend lost" in out
    assert "'nobody' is not a backend" in out
    assert "✗ registry plugin nobody" in out
    assert "hunter2" not in out + err


def test_nothing_is_loaded_that_is_not_named(site: Site, command: Run) -> None:
    for group in ("fact_sources", "observers", "stores"):
        site.install(f"acme-{group}", f"acme_{group}", "raise SystemExit", group=group, acme="x")
    assert command("scan", "--backend", "acme")[0] == 0
    assert "acme_tags" not in sys.modules
    assert not {f"acme_{group}" for group in ("fact_sources", "observers", "stores")} & sys.modules.keys()
