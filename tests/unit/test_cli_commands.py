"""Every command over the in-memory world: what it does, what it prints, how it exits."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import attrs
import pytest

from safeupdater.backends.memory import Behaviour, MemoryBackend, MemoryWorld
from safeupdater.cli.text import minute, short_hosts
from safeupdater.config import Policy
from safeupdater.protocols import ScanReport
from safeupdater.registries.oci import RateLimit
from safeupdater.stores.jsonfile import JsonFileStore
from safeupdater.stores.open import open_store
from safeupdater.update.inventory import Inventory
from safeupdater.update.updater import Updater
from tests.support.cli import Shell

PATCH, MINOR, MAJOR = "1.0.1", "1.1.0", "2.0.0"


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    made = Shell(tmp_path / "state", capsys)
    made.world.run("web", "example/web:1.0.0")
    made.world.run("api", "example/api:1.0.0")
    return made


def running(shell: Shell, name: str) -> str:
    return str(shell.world.containers[name].image).partition("@")[0].rpartition(":")[2]


def fail_once(shell: Shell, *options: str) -> None:
    """Brings web's bad patch into quarantine."""
    shell.world.publish(f"example/web:{PATCH}", Behaviour(ready_after_s=1.0, exits_after_s=30.0))
    assert shell(*options, "apply", "--yes").code == 5


# --- looking ----------------------------------------------------------------------------------------------


def test_scan_shows_what_runs_with_counts_and_remembers_it(shell: Shell) -> None:
    ran = shell("scan")
    assert ran.code == 0
    assert "web" in ran.out
    assert "2 assets: 2 containers; 2 healthy" in ran.out
    shell.world.containers.clear()
    assert shell("plan", "--no-scan", "-o", "json").document["current"] == [
        "memory://prod-1/api",
        "memory://prod-1/web",
    ]


def test_scan_gives_an_inventory(shell: Shell) -> None:
    document = shell.json("scan")
    assert document["apiVersion"] == "safeupdater/v1"
    assert document["kind"] == "Inventory"
    assert [asset["name"] for asset in document["assets"]] == ["api", "web"]
    assert document["statistics"] == {
        "total_assets": 2, "by_type": {"container": 2}, "by_status": {"healthy": 2},
    }  # fmt: skip


def test_plan_says_what_would_be_done_and_changes_nothing(shell: Shell) -> None:
    shell.world.publish(f"example/web:{PATCH}")
    ran = shell("plan")
    assert ran.code == 0
    assert f"1.0.0 → {PATCH} (patch)" in ran.out
    assert "safeupdater apply" in ran.err
    assert running(shell, "web") == "1.0.0"


def test_plan_exits_with_3_only_when_asked_and_updates_are_available(shell: Shell) -> None:
    assert shell("plan", "--exit-code").code == 0
    shell.world.publish(f"example/web:{MAJOR}")
    assert shell("plan").code == 0
    assert shell("plan", "--exit-code").code == 3


def test_plan_exits_with_0_where_everything_on_offer_is_rejected(shell: Shell, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\nsemver_gates: {major: skip}\n")
    shell.world.publish(f"example/web:{MAJOR}")
    ran = shell("--policy", str(policy), "plan", "--exit-code")
    assert "1 rejected" in ran.out
    assert ran.code == 0


def test_what_another_updater_is_at_is_left_alone_and_not_told_as_interrupted(shell: Shell) -> None:
    shell("scan")
    shell.world.publish(f"example/web:{PATCH}")
    store = open_store(f"sqlite:///{shell.directory}/safeupdater/state.db", shell.clock)
    policy = Policy.default()
    with Updater(
        backends=[shell.backend], store=store, policy=policy, tags=shell.world, clock=shell.clock
    ) as other:
        (update,) = other.plan().updates
        operation_id = other.executor.open(update)
        assert isinstance(operation_id, str)
        ran = shell("apply", "--yes", "-o", "json")
        assert [item["code"] for item in ran.document["operations"]] == ["operation_open"]
        assert ran.code == 4
        assert "web is left alone: another updater works on" in ran.err
        assert shell("recover").code == 6
        doctor = shell("doctor")
        assert "operations under way" in doctor.out
        assert "unfinished" not in doctor.out
        # Seen from a host that cannot reach it, it is nobody's fault and nothing to do.
        shell.backend = MemoryBackend(MemoryWorld(shell.clock, host="prod-2"))
        for command in (("apply", "--yes"), ("run", "--once")):
            ran = shell(*command)
            seen = store.lease_on(update.target_id)
            assert seen is not None
            assert (
                f"works on {update.target_id}: {socket.gethostname()} (until {minute(seen.until)})" in ran.err
            )
            assert "half-way" not in ran.err
            assert ran.code == 0
    assert shell("recover").code == 6
    shell.clock.advance(7200)
    ran = shell("apply", "--yes")
    assert "abandoned half-way" in ran.err
    assert ran.code == 6


def test_a_host_that_is_gone_can_be_forgotten(shell: Shell) -> None:
    shell("scan")
    assert shell.json("state", "forget", "api")["assets"] == ["memory://prod-1/api"]
    assert shell("state", "forget", "memory://prod-1").out == "memory://prod-1/web\n"
    refused = shell("state", "forget", "memory://prod-1")
    assert (refused.code, "nothing is known" in refused.err) == (2, True)


def test_what_a_repository_listed_can_be_forgotten(shell: Shell) -> None:
    shell("scan")
    shell("plan")
    repository = min(asset.image.name for asset in shell.backend.scan().assets)
    assert shell("state", "forget", repository).out == f"{repository}\n"
    assert shell("state", "forget", repository).code == 2


def test_a_json_store_in_use_can_still_be_read(shell: Shell) -> None:
    place = shell.directory / "state"
    url = f"json:{place}"
    fail_once(shell, "--store", url)
    with JsonFileStore(place, shell.clock):  # as a service holds it
        assert "1.0.1" in shell("--store", url, "history").out
        assert "1.0.1" in shell("--store", url, "quarantine", "list").out
        assert shell("--store", url, "policy", "explain", "web").code == 0
        assert "journal" in shell("--store", url, "state", "export", "-").out
        found = shell("--store", url, "doctor")
        assert "only read now" in found.out
        refused = shell("--store", url, "abort", "web")
        assert (refused.code, "one writer" in refused.err) == (1, True)


def test_plan_gives_updates_current_and_unknown(shell: Shell) -> None:
    shell.world.publish(f"example/web:{PATCH}")
    document = shell.json("plan")
    assert [update["decision"] for update in document["updates"]] == ["approve"]
    assert document["updates"][0]["policy_applied"] == "semver_gates.patch=auto"
    assert document["current"] == ["memory://prod-1/api"]
    assert document["unknown"] == []


# --- applying ---------------------------------------------------------------------------------------------


def test_apply_carries_out_what_is_approved_and_nothing_else(shell: Shell) -> None:
    shell.world.publish(f"example/web:{PATCH}")
    shell.world.publish(f"example/api:{MAJOR}")
    ran = shell("apply", "--yes")
    assert ran.code == 0
    assert "succeeded" in ran.out
    assert (running(shell, "web"), running(shell, "api")) == (PATCH, "1.0.0")


def test_apply_forgets_what_the_policy_no_longer_keeps(shell: Shell, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("rollback: {retain: 1d}\nretention: {journals: 30d, keep_journals: 0}\n")
    shell.world.publish(f"example/web:{PATCH}")
    assert shell("--policy", str(policy), "apply", "--yes").code == 0
    for days, is_kept in ((20, True), (20, False)):
        shell.clock.advance(days * 86_400.0)
        assert shell("--policy", str(policy), "apply", "--yes").code == 0
        with open_store(f"sqlite:///{shell.directory}/safeupdater/state.db", shell.clock) as store:
            assert bool(store.since(0, 100)) is is_kept


def test_verbose_tells_each_happening_in_one_line_with_its_fields(shell: Shell) -> None:
    shell.world.publish("example/web:1.0.1")
    shell("scan")
    lines = shell("apply", "--yes", "--verbose").err.splitlines()
    (planned,) = [line for line in lines if "operation_planned" in line]
    assert "INFO operation_planned operation=" in planned
    assert "1.0.1" in planned
    assert max(map(len, lines)) < 1_000, "nothing pads it to the width of a pipe"


def test_apply_gives_the_outcome_of_each_operation(shell: Shell) -> None:
    shell.world.publish(f"example/web:{PATCH}")
    document = shell.json("apply", "--yes")
    (operation,) = document["operations"]
    assert (operation["target_id"], operation["outcome"]) == ("memory://prod-1/web", "succeeded")
    assert operation["probes"]["failed"] == 0
    assert document["plan_hash"]


def test_apply_without_a_terminal_wants_yes_and_changes_nothing(shell: Shell) -> None:
    shell.world.publish(f"example/web:{PATCH}")
    ran = shell("apply")
    assert ran.code == 2
    assert "--yes" in ran.err
    assert running(shell, "web") == "1.0.0"


@pytest.mark.parametrize(("answer", "code", "version"), [(True, 0, PATCH), (False, 6, "1.0.0")])
def test_apply_does_what_it_is_told_on_a_terminal(
    shell: Shell, answer: bool, code: int, version: str
) -> None:
    shell.world.publish(f"example/web:{PATCH}")
    asked: list[str] = []
    shell.confirm = lambda question: not asked.append(question) and answer
    ran = shell("apply")
    assert asked == ["Apply 1 update?"]
    assert f"1.0.0 → {PATCH}" in ran.err
    assert (ran.code, running(shell, "web")) == (code, version)


def test_a_dry_run_prints_the_plan_and_changes_nothing(shell: Shell) -> None:
    shell.world.publish(f"example/web:{PATCH}")
    ran = shell("apply", "--dry-run")
    assert ran.code == 0
    assert f"1.0.0 → {PATCH}" in ran.out
    assert running(shell, "web") == "1.0.0"


def test_apply_of_one_target_leaves_the_others(shell: Shell) -> None:
    shell.world.publish(f"example/web:{PATCH}")
    shell.world.publish(f"example/api:{PATCH}")
    assert shell("apply", "api", "--yes").code == 0
    assert (running(shell, "web"), running(shell, "api")) == ("1.0.0", PATCH)


def test_apply_of_a_target_that_must_wait_exits_with_4(shell: Shell) -> None:
    shell.world.publish(f"example/web:{MAJOR}")
    assert shell("apply", "--yes").code == 0
    assert shell("apply", "web", "--yes").code == 4
    assert running(shell, "web") == "1.0.0"


def test_a_bad_release_goes_back_and_exits_with_5(shell: Shell) -> None:
    shell.world.publish(f"example/web:{PATCH}", Behaviour(ready_after_s=1.0, exits_after_s=30.0))
    ran = shell("apply", "--yes")
    assert ran.code == 5
    assert "rolled_back" in ran.out
    assert running(shell, "web") == "1.0.0"


def test_a_saved_plan_is_applied_as_it_was_decided(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    shell.world.publish(f"example/web:{PATCH}")
    assert shell("plan", "--save", str(file)).code == 0
    shell.world.publish("example/web:1.0.2")
    assert shell("apply", "--plan", str(file), "--yes").code == 0
    assert running(shell, "web") == PATCH


def test_a_saved_plan_that_was_tampered_with_is_refused(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    shell.world.publish(f"example/web:{PATCH}")
    shell.world.publish(f"example/web:{MAJOR}")
    shell("plan", "--save", str(file))
    file.write_text(file.read_text().replace(PATCH, "1.0.9"))
    ran = shell("apply", "--plan", str(file), "--yes")
    assert ran.code == 1
    assert "hash" in ran.err
    assert running(shell, "web") == "1.0.0"


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\xfe", b"{" * 10_000])
def test_a_file_that_is_no_plan_is_refused_in_one_sentence(
    shell: Shell, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "plan.json"
    file.write_bytes(content)
    ran = shell("apply", "--plan", str(file), "--yes")
    assert ran.code == 1
    assert "Traceback" not in ran.err
    assert len(ran.err.strip().splitlines()) == 1


# --- consenting -------------------------------------------------------------------------------------------


def test_an_approved_update_is_applied_once(shell: Shell) -> None:
    shell.world.publish(f"example/web:{MAJOR}")
    shell("plan")
    ran = shell("approve", "web", "--by", "ann")
    assert ran.code == 0
    assert "ann" in ran.out
    assert shell("apply", "--yes").code == 0
    assert running(shell, "web") == MAJOR


def test_an_approval_names_who_gave_it_and_what_it_is_for(shell: Shell) -> None:
    shell.world.publish(f"example/web:{MINOR}")
    wanted = shell.json("plan")["updates"][0]["hash"]
    (approval,) = shell.json("approve", wanted[:12])["approvals"]
    assert (approval["update_hash"], approval["approver"], approval["bulk"]) == (wanted, "ann", False)


def test_all_review_approves_reviews_but_no_major(shell: Shell) -> None:
    shell.world.publish(f"example/web:{MINOR}")
    shell.world.publish(f"example/api:{MAJOR}")
    shell("plan")
    given = shell.json("approve", "--all-review", "--by", "ann")["approvals"]
    assert [item["target_id"] for item in given] == ["memory://prod-1/web"]
    shell("apply", "--yes")
    assert (running(shell, "web"), running(shell, "api")) == (MINOR, "1.0.0")


def test_another_version_on_offer_can_be_approved(shell: Shell) -> None:
    shell.world.publish(f"example/web:{MINOR}")
    shell.world.publish(f"example/web:{MAJOR}")
    offers = {offer["change"]["new"] for offer in shell.json("plan")["updates"][0]["alternatives"]}
    assert offers
    version = next(iter(offers)).partition("@")[0].rpartition(":")[2]
    assert shell("approve", "web", "--to", version).code == 0
    shell("apply", "--yes")
    assert running(shell, "web") == version


def test_an_approval_of_what_needs_none_says_so(shell: Shell) -> None:
    shell.world.publish(f"example/web:{PATCH}")
    shell("plan")
    ran = shell("approve", "web")
    assert ran.code == 1
    assert "memory://prod-1/web needs no approval: Patch update is approved automatically" in ran.err


def test_an_error_cuts_the_long_host_of_a_daemon_and_not_the_name() -> None:
    long = "docker://HUS7:SEJ7:XXLW:FCPW:RKTO:V3ZX:FXQH:NHUC:7KFY:TST4:IMTO:7KFY/shop waits, docker://a/b"
    assert short_hosts(long) == "docker://HUS7:…:7KFY/shop waits, docker://a/b"
    url = "cannot reach https://a-registry.example.org/v2/"
    assert short_hosts(url) == url


def test_results_have_no_column_that_says_nothing(shell: Shell) -> None:
    shell.world.publish(f"example/web:{PATCH}")
    assert "why" not in shell("apply", "--yes").out
    assert "why" not in shell("history").out
    shell.world.publish("example/web:1.0.9", Behaviour(exits_after_s=20.0))
    assert "why" in shell("apply", "--yes").out
    assert "why" in shell("history").out


@pytest.mark.parametrize(
    "arguments", [[], ["web", "--all-review"], ["web"], ["nobody"], ["web", "--to", "9.9.9"]]
)
def test_an_approval_of_nothing_is_a_usage_error(shell: Shell, arguments: list[str]) -> None:
    shell("plan")
    assert shell("approve", *arguments).code == 2


def test_approving_without_a_plan_says_what_to_do(shell: Shell) -> None:
    ran = shell("approve", "web")
    assert ran.code == 2
    assert "safeupdater plan" in ran.err


# --- going back -------------------------------------------------------------------------------------------


def test_rollback_brings_the_version_before_back(shell: Shell) -> None:
    shell.world.publish(f"example/web:{PATCH}")
    shell("apply", "--yes")
    assert shell("rollback", "web").code == 0
    assert running(shell, "web") == "1.0.0"


def test_rollback_without_a_version_before_fails_with_a_sentence(shell: Shell) -> None:
    shell("scan")
    ran = shell("rollback", "web")
    assert ran.code == 1
    assert "no earlier version" in ran.err


def test_recover_with_nothing_to_do_says_so(shell: Shell) -> None:
    ran = shell("recover")
    assert ran.code == 0
    assert "nothing was interrupted" in ran.err
    assert shell.json("recover")["operations"] == []


def test_recover_finishes_what_was_interrupted(shell: Shell) -> None:
    shell.lose_power(f"example/web:{PATCH}")
    document = shell.json("recover")
    assert [item["outcome"] for item in document["operations"]] in (
        ["aborted"],
        ["succeeded"],
        ["rolled_back"],
    )
    assert shell.json("recover")["operations"] == []
    assert running(shell, "web") in ("1.0.0", PATCH)


def test_apply_recovers_first(shell: Shell) -> None:
    shell.lose_power(f"example/web:{PATCH}")
    ran = shell("apply", "--yes")
    assert "recovered 1 unfinished operation" in ran.err


@pytest.mark.parametrize("command", [("apply", "--yes"), ("run", "--once")], ids=["apply", "run"])
def test_what_is_half_way_where_no_backend_reaches_is_told_in_quiet_too(
    shell: Shell, command: tuple[str, ...]
) -> None:
    shell.lose_power(f"example/web:{PATCH}")
    shell.backend = MemoryBackend(MemoryWorld(shell.clock, host="prod-2"))
    ran = shell("--quiet", *command)
    assert "warning: web is left alone: no backend reaches memory://prod-1/web" in ran.err
    assert "--backend" in ran.err
    assert ran.code == shell("recover").code == 6
    document = shell(*command, "-o", "json").document
    assert [item["code"] for item in document["operations"]] == ["no_backend"]
    assert "recovered" not in ran.err


def test_abort_says_whether_something_was_under_way(shell: Shell) -> None:
    shell("scan")
    assert shell("abort", "web").code == 1
    shell.lose_power(f"example/web:{PATCH}")
    assert shell.json("abort", "web") == {
        "apiVersion": "safeupdater/v1", "kind": "AbortRequest",
        "target_id": "memory://prod-1/web", "requested": True, "code": "asked",
        "message": "it was asked to stop; if nobody works on it: safeupdater recover",
    }  # fmt: skip
    shell("recover")
    assert running(shell, "web") == "1.0.0"


HOLDING = """\
version: 1
rollback: {on_inconclusive: hold}
"""


def test_resolve_of_what_waits_for_nobody_is_an_error(shell: Shell) -> None:
    shell("scan")
    ran = shell("resolve", "web", "restore")
    assert ran.code == 1
    assert len(ran.err.strip().splitlines()) >= 1
    assert shell("resolve", "web", "dance").code == 2


def test_quarantine_lists_what_failed_and_allows_it_again(shell: Shell) -> None:
    assert shell.json("quarantine", "list")["entries"] == []
    fail_once(shell)
    (entry,) = shell.json("quarantine", "list")["entries"]
    assert (entry["asset_id"], entry["version"], entry["lifted_by"]) == ("memory://prod-1/web", PATCH, None)
    assert PATCH in shell("quarantine", "list").out
    assert shell.json("quarantine", "allow", "web", "--by", "bob")["entries"][0]["lifted_by"] == "bob"
    assert shell.json("quarantine", "list")["entries"] == []
    assert len(shell.json("quarantine", "list", "--all")["entries"]) == 1
    assert shell("quarantine", "allow", "web").code == 2


def test_a_release_that_failed_on_two_targets_is_allowed_again_by_its_repository(shell: Shell) -> None:
    for name in ("blue", "green"):
        shell.world.run(name, "example/shop:1.0.0")
    shell.world.publish("example/shop:1.0.1", Behaviour(ready_after_s=1.0, exits_after_s=30.0))
    assert shell("apply", "--yes").code == 5
    entries = shell.json("quarantine", "list")["entries"]
    repository = "docker.io/example/shop"
    assert {item["asset_id"] for item in entries} == {
        "memory://prod-1/blue",
        "memory://prod-1/green",
        repository,
    }
    assert "docker.io/example/" in shell("quarantine", "list").out
    assert shell.json("quarantine", "allow", repository)["entries"][0]["asset_id"] == repository
    assert repository not in {item["asset_id"] for item in shell.json("quarantine", "list")["entries"]}


# --- remembering ------------------------------------------------------------------------------------------


def test_history_shows_finished_updates_newest_first(shell: Shell) -> None:
    assert "nothing was updated yet" in shell("history").out
    shell.world.publish(f"example/web:{PATCH}")
    shell("apply", "--yes")
    shell.clock.advance(7200)
    shell.world.publish("example/web:1.0.2")
    shell("apply", "--yes")
    entries = shell.json("history", "web")["entries"]
    assert [(entry["from_version"], entry["to_version"]) for entry in entries] == [
        (PATCH, "1.0.2"),
        ("1.0.0", PATCH),
    ]
    assert shell.json("history", "api")["entries"] == []
    assert len(shell.json("history", "--limit", "1")["entries"]) == 1
    assert "succeeded" in shell("history").out


def test_state_goes_to_another_place_and_comes_back(shell: Shell, tmp_path: Path) -> None:
    shell("scan")
    assert shell("state", "path").out.strip().endswith("state/safeupdater/state.db")
    file = tmp_path / "export.json"
    assert shell("state", "export", str(file)).code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    other = f"sqlite:///{tmp_path / 'other.db'}"
    assert shell("state", "import", str(file), "--store", other).code == 0
    assert shell("history", "web", "--store", other).code == 0
    assert shell("state", "export", str(file)).code == 1, "an existing file is never overwritten"


def test_an_import_that_is_no_export_is_refused(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    for content in ("", "[]", '{"a": 1}', "not json"):
        file.write_text(content)
        ran = shell("state", "import", str(file))
        assert ran.code == 1
        assert "Traceback" not in ran.err


# --- policy -----------------------------------------------------------------------------------------------


def test_policy_is_shown_explained_and_checked(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("version: 1\nrules:\n  - match: {name: 'web*'}\n    semver_gates: {minor: auto}\n")
    shell("scan")
    shown = shell("policy", "show", "--policy", str(file))
    assert json.loads(shown.out)["rules"][0]["semver_gates"] == {"minor": "auto"}
    explained = shell.json("policy", "explain", "web", "--policy", str(file))
    assert explained["rules"] == [{"index": 0, "match": "name web*"}] or explained["rules"][0]["index"] == 0
    assert {item["key"]: item["set_by"] for item in explained["settings"]}["semver_gates.minor"] == "rules[0]"
    assert "rules[0]" in shell("policy", "explain", "web", "--policy", str(file)).out
    assert shell.json("policy", "check", str(file))["valid"]
    assert json.loads(shell("policy", "schema").out)["$schema"]


def test_policy_check_names_every_problem_with_its_place(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("version: 1\nsemver_gates: {patch: sure}\nmax_concurent: 2\n")
    ran = shell("policy", "check", str(file))
    assert ran.code == 1
    assert [line.startswith(f"{file}:{number}:") for number, line in enumerate(ran.out.splitlines(), 2)] == [
        True,
        True,
    ], "one line for each, as editors read them"
    document = shell("policy", "check", str(file), "-o", "json").document
    assert [problem["line"] for problem in document["problems"]] == [2, 3]


def test_policy_check_without_a_file_checks_the_policy_that_holds(shell: Shell, tmp_path: Path) -> None:
    assert "built-in" in shell("policy", "check").out
    (tmp_path / "policy.yaml").write_text("version: 1\nsemver_gates: {patch: sure}\n")
    ran = shell("policy", "check")
    assert (ran.code, "policy.yaml:2:" in ran.out) == (1, True)
    assert shell("policy", "check", "-o", "json").document["valid"] is False


def test_a_bad_policy_stops_everything_before_anything_is_touched(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("version: 1\nsemver_gates: {patch: sure}\n")
    shell.world.publish(f"example/web:{PATCH}")
    for command in (["plan"], ["apply", "--yes"], ["run", "--once"]):
        ran = shell(*command)
        assert ran.code == 1
        assert "policy.yaml:2:" in ran.err.replace("\n", "")
    assert running(shell, "web") == "1.0.0"


def test_a_version_that_is_not_in_quarantine_is_told_so(shell: Shell) -> None:
    shell("scan")
    assert "nothing of web is in quarantine" in shell("quarantine", "allow", "web").err
    assert "9.9 of web is not in quarantine" in shell("quarantine", "allow", "web", "9.9").err


def test_at_80_columns_no_summary_of_a_command_is_cut(shell: Shell) -> None:
    shell.environ["COLUMNS"] = "80"
    for group in ((), ("state",), ("quarantine",), ("policy",)):
        listed = shell(*group, "--help").out.partition("Commands:")[2]
        assert listed
        assert "..." not in listed


# --- running ----------------------------------------------------------------------------------------------


def test_one_round_recovers_scans_plans_and_applies(shell: Shell) -> None:
    shell.world.publish(f"example/web:{PATCH}")
    ran = shell("run", "--once")
    assert ran.code == 0
    assert running(shell, "web") == PATCH
    assert shell.json("run", "--once")["operations"] == []


def test_one_round_with_a_bad_release_exits_with_5(shell: Shell) -> None:
    shell.world.publish(f"example/web:{PATCH}", Behaviour(startable=False))
    assert shell("run", "--once").code == 5


@pytest.mark.parametrize("every", ["0s", "soon", "-1h"])
def test_a_senseless_interval_is_a_usage_error(shell: Shell, every: str) -> None:
    assert shell("run", "--every", every).code == 2


# --- doctor -----------------------------------------------------------------------------------------------


def test_doctor_says_what_it_found(shell: Shell) -> None:
    shell("scan")
    document = shell.json("doctor")
    assert {check["subject"]: check["status"] for check in document["checks"]} == {
        "policy": "ok", "state": "ok", "registry docker.io": "ok", "memory on prod-1": "ok",
    }  # fmt: skip
    assert shell("doctor").code == 0


def test_doctor_says_what_a_registry_says_is_left_of_the_allowance(shell: Shell) -> None:
    shell("scan")
    tags: Any = shell.world
    tags.rate_limits = lambda: {"docker.io": RateLimit(limit=100, remaining=63, window_s=21600)}
    assert "; 63 of 100 requests left in 6 h" in shell("doctor").out
    tags.rate_limits = lambda: {"docker.io": RateLimit(), "quay.io": RateLimit(limit=1, remaining=1)}
    assert "requests left" not in shell("doctor").out


def test_doctor_asks_no_registry_for_what_was_built_on_its_host(shell: Shell) -> None:
    shell.world.run("own", "registry.example/own:1.0.0")
    shell("scan")
    store = open_store(f"sqlite:///{shell.directory}/safeupdater/state.db", shell.clock)
    inventory = Inventory(store)
    (own,) = (asset for asset in inventory.assets() if asset.name == "own")
    built = attrs.evolve(own, metadata={"local_build": True})
    inventory.record(ScanReport(assets=(built,), scope=own.id, complete=False), shell.clock.now())
    store.close()
    assert "registry.example" not in shell("doctor").out


def test_doctor_names_what_is_unfinished_and_what_helps(shell: Shell) -> None:
    shell.lose_power(f"example/web:{PATCH}")
    ran = shell("doctor")
    assert "unfinished operations" in ran.out
    assert "abandoned" in ran.out
    assert "safeupdater recover" in ran.out


def test_doctor_fails_with_a_remedy_where_something_is_broken(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("nonsense\n")
    shell.environ["SAFEUPDATER_WEBHOOK_URL"] = "ftp://example.com"
    ran = shell("doctor", "-o", "json")
    assert ran.code == 1
    failed = {
        check["subject"]: check["remedy"] for check in ran.document["checks"] if check["status"] == "failed"
    }
    assert failed.keys() == {"policy", "webhook"}
    assert all(failed.values())


def test_a_name_that_nothing_has_is_a_document_too(shell: Shell) -> None:
    shell("scan")
    ran = shell("history", "wb", "-o", "json")
    assert (ran.code, ran.document["kind"], ran.document["code"]) == (2, "Error", "usage")
    assert "did you mean web?" in ran.document["message"]
