"""Plugins: found by name when they are used, and kept at arm's length while they decide."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from safeupdater.config import Policy
from safeupdater.config.plugins import DeadlineGate, load_plugin
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.asset import Asset, AssetType
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.change import Change, VersionChangeType
from safeupdater.domain.decision import Decision, Verdict
from safeupdater.errors import PluginError
from safeupdater.gates import evaluate, gate
from tests.support.packages import Site

OLD, NEW = ImageReference.parse("nginx:1.27.0"), ImageReference.parse("nginx:1.27.1")
WEB = Asset(id="docker://local/web", name="web", asset_type=AssetType.CONTAINER, image=OLD)
PATCH = Change(asset_id=WEB.id, current=OLD, new=NEW, change_type=VersionChangeType.PATCH)
CANDIDATE = Candidate(asset=WEB, change=PATCH)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(tmp_path)
    made = Site(tmp_path)
    yield made
    made.forget()


def decide(name: str) -> Decision:
    return evaluate(Policy.from_dict({"gates": [name]}).for_asset(WEB).gate, CANDIDATE)


# --- finding --------------------------------------------------------------------------------------------


def test_a_gate_of_a_package_decides_beside_the_others(site: Site) -> None:
    site.install(
        "acme",
        "acme_gates",
        """
        from safeupdater.domain.decision import Decision, Reason, Verdict

        def never(candidate):
            return False

        def always(candidate):
            return True

        class Moody:
            name = "moody"
            needs = frozenset({"acme.mood"})

            def __call__(self, candidate):
                reason = Reason(code="bad_mood", message="Not today", verdict=Verdict.DEFER, gate=self.name)
                return Decision.because(reason)
        """,
        never="never",
        always="always",
        moody="Moody",
    )

    assert decide("always").safe
    assert decide("never").verdict is Verdict.REJECT
    assert decide("moody").verdict is Verdict.DEFER
    assert "acme.mood" in Policy.from_dict({"gates": ["moody"]}).defaults().gate.needs


def test_a_plugin_is_loaded_when_it_is_used_and_not_before(site: Site) -> None:
    site.install("acme", "acme_used", "def g(candidate): return True", used="g")
    site.install("acme-other", "acme_unused", "raise SystemExit('loaded')", unused="g")

    policy = Policy.from_dict({"gates": ["used"]})
    assert "acme_used" not in sys.modules
    policy.for_asset(WEB)
    assert "acme_used" in sys.modules
    assert "acme_unused" not in sys.modules


def test_a_name_claimed_twice_is_an_error_that_names_both(site: Site) -> None:
    site.install("acme-one", "acme_one", "", hours="g")
    site.install("acme-two", "acme_two", "", hours="g")

    with pytest.raises(
        PluginError, match=r"acme-one \(acme_one:g\) and acme-two \(acme_two:g\): uninstall one"
    ):
        load_plugin("gates", "hours")


def test_an_unknown_name_is_an_error_with_a_suggestion(site: Site) -> None:
    site.install("acme", "acme_hours", "", office_hours="g")

    with pytest.raises(PluginError, match="did you mean 'office_hours'"):
        Policy.from_dict({"gates": ["ofice_hours"]}).for_asset(WEB)
    with pytest.raises(PluginError, match="there is no plugin group 'gate'; known: backends, gates"):
        load_plugin("gate", "office_hours")


@pytest.mark.parametrize(
    "code", ["raise RuntimeError('hunter2')", "raise SystemExit(3)", "import acme_missing", ""]
)
def test_a_plugin_that_does_not_load_is_an_error_with_its_cause(code: str, site: Site) -> None:
    site.install("acme", "acme_broken", code, broken="g")

    with pytest.raises(PluginError, match=r"'broken' in safeupdater\.gates, of acme") as raised:
        Policy.from_dict({"gates": ["broken"]}).for_asset(WEB)
    assert raised.value.__cause__ is not None
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("code", ["g = 3", "class g:\n    def __init__(self): raise ValueError('hunter2')"])
def test_what_is_no_gate_is_an_error(code: str, site: Site) -> None:
    site.install("acme", "acme_wrong", code, wrong="g")

    with pytest.raises(PluginError, match="the plugin gate 'wrong' cannot be made") as raised:
        Policy.from_dict({"gates": ["wrong"]}).for_asset(WEB)
    assert "hunter2" not in str(raised.value)


def test_importing_the_policy_brings_no_client_no_yaml_and_no_plugin_lookup() -> None:
    code = "import sys, safeupdater.config as c; c.Policy.from_dict({}).defaults(); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(ran.stdout.split())

    unwanted = {"yaml", "docker", "kubernetes", "urllib3", "importlib.metadata", "safeupdater.config.plugins"}
    assert "safeupdater.config.policy" in loaded
    assert loaded & unwanted == set()


# --- deciding -------------------------------------------------------------------------------------------


def test_a_gate_that_does_not_answer_in_time_rejects_whatever_others_say() -> None:
    release = threading.Event()
    asked: list[str] = []

    def hang(candidate: Candidate) -> bool:
        asked.append(threading.current_thread().name)
        release.wait(30)
        return True

    guarded = DeadlineGate(gate(hang), deadline_s=0.05)
    try:
        decision = evaluate(gate(lambda candidate: True) | guarded, CANDIDATE)
        again = evaluate(guarded, CANDIDATE)
    finally:
        release.set()

    assert decision.verdict is Verdict.REJECT
    assert decision.is_fatal
    assert decision.deciding is not None
    assert decision.deciding.code == "gate_timeout"
    assert "still hangs" in again.reason
    assert asked == ["safeupdater-Gate hang"]


def test_a_gate_that_recovered_is_asked_again() -> None:
    release = threading.Event()
    hanging: list[threading.Thread] = []

    def slow_once(candidate: Candidate) -> bool:
        if not hanging:
            hanging.append(threading.current_thread())
            release.wait(30)
        return True

    guarded = DeadlineGate(gate(slow_once), deadline_s=0.2)
    assert not evaluate(guarded, CANDIDATE).safe
    release.set()
    hanging[0].join()

    assert evaluate(guarded, CANDIDATE).safe


@pytest.mark.parametrize("error", [ValueError("hunter2"), SystemExit(3), KeyboardInterrupt()])
def test_a_gate_that_raises_rejects_fatally(error: BaseException) -> None:
    def broken(candidate: Candidate) -> bool:
        raise error

    decision = evaluate(DeadlineGate(gate(broken)), CANDIDATE)

    assert decision.verdict is Verdict.REJECT
    assert decision.is_fatal
    assert "hunter2" not in decision.reason


def test_a_gate_that_answers_nonsense_rejects_fatally() -> None:
    decision = evaluate(DeadlineGate(gate(lambda candidate: None)), CANDIDATE)  # type: ignore[arg-type, return-value]

    assert decision.verdict is Verdict.REJECT
    assert decision.is_fatal
