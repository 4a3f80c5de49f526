"""The rules on versions, ages, names, owners, labels and databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from safeupdater.analysis import SemVerAnalyzer
from safeupdater.domain.artifact import ChartReference
from safeupdater.domain.candidate import Facts
from safeupdater.domain.change import VersionChangeType
from safeupdater.domain.decision import Verdict
from safeupdater.errors import ConfigurationError
from safeupdater.gates import (
    Constraint,
    Labels,
    MinimumAge,
    NotQuarantined,
    Ownership,
    SkippedVersions,
    Sources,
    StatefulGuard,
    TagPatterns,
)
from safeupdater.testing.gates import NOW, make_candidate

DAY = 86_400.0
APPROVE, DEFER, REJECT = Verdict.APPROVE, Verdict.DEFER, Verdict.REJECT


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def code(decision) -> str:
    assert len(decision.reasons) == 1
    return decision.reasons[0].code


# --- constraint -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "new", "is_inside"),
    [
        ("^1.24", "1.25.3", True),
        ("^1.24", "1.23.9", False),
        ("^1.24", "2.0.0", False),
        ("^1.24", "v1.25.3-alpine", True),
        ("~1.24.1", "1.24.9-r3", True),
        (">=1 <2 || ^3", "3.4.5", True),
        ("^1.24", "1.26.0-rc.1", True),  # whether pre-releases are wanted is not the range's to say
        ("^1.24", "2.0.0-rc.1", False),
        ("^1.24", "latest", False),
        ("*", "latest", False),
        ("22.x", "22.04", True),
    ],
)
def test_a_constraint_lets_through_what_lies_in_the_range(text, new, is_inside):
    decision = Constraint(text)(make_candidate("1.0.0", new))
    assert decision.verdict is (APPROVE if is_inside else REJECT)
    assert code(decision) == ("inside_constraint" if is_inside else "outside_constraint")
    assert decision.policy_applied == f"constraint={text}"


@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize("text", ["^1.24", "~1.25.0", "1.24 - 1.26", ">=1.26.0-rc.1", "*", "<1.25 || >=2"])
def test_a_constraint_takes_the_tags_that_choosing_by_it_takes(text, allow):
    tags = ["1.24.1", "1.25.0", "1.25.9", "1.26.0-rc.1", "1.26.0", "1.27.0-beta.2", "2.0.0", "2.0.0-rc.1"]
    analyzer = SemVerAnalyzer()

    def chosen(constraint):
        found = analyzer.find_updates("1.24.0", tags, constraint=constraint, allow_prerelease=allow)
        return {tag for some in found.by_type.values() for tag in some}

    gate = Constraint(text)
    by_gate = {tag for tag in chosen(None) if gate(make_candidate("1.24.0", tag)).safe}
    assert by_gate == chosen(text)


@pytest.mark.parametrize("text", ["^^1", "1.2.3.4.5", "a || b", ">=", "x" * 5000])
def test_a_text_that_is_no_range_is_an_error(text):
    with pytest.raises(ConfigurationError, match="constraint: "):
        Constraint(text)


# --- skipped versions -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "new", "is_skipped"),
    [
        ("1.25.3", "1.25.3", True),
        ("1.25.3", "v1.25.3-alpine", True),
        ("1.25.3", "1.25.4", False),
        ("1.25", "1.25.9", True),
        ("1.25", "1.26.0", False),
        (">=2 <2.1", "2.0.7", True),
        (">=2 <2.1", "2.0.7-rc.1", True),
        ("1.25.3-alpine", "1.25.3-alpine", True),
        ("RELEASE.2024-05-10T01-41-38Z", "RELEASE.2024-05-10T01-41-38Z", True),
        ("latest", "latest", True),
        ("latest", "1.25.3", False),
    ],
)
def test_skipped_versions_are_tags_versions_and_ranges(entry, new, is_skipped):
    decision = SkippedVersions(["9.9.9", entry])(make_candidate("1.0.0", new))
    assert decision.verdict is (REJECT if is_skipped else APPROVE)
    assert code(decision) == ("version_skipped" if is_skipped else "not_skipped")


def test_a_digest_can_be_skipped():
    candidate = make_candidate("latest", "latest", VersionChangeType.DIGEST)
    assert code(SkippedVersions([candidate.change.new.digest])(candidate)) == "version_skipped"


@pytest.mark.parametrize("entries", [["not a tag"], [""], ["  "], ["sha256:beef"], "1.2.3"])
def test_an_entry_that_names_no_version_is_an_error(entries):
    with pytest.raises(ConfigurationError, match="skip"):
        SkippedVersions(entries)


# --- age --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("published", "first_seen", "basis", "verdict", "reason"),
    [
        (ago(3), None, "published", APPROVE, "old_enough"),
        (ago(2.99), None, "published", DEFER, "too_young"),
        (ago(30), ago(1), "published", APPROVE, "old_enough"),
        (None, ago(4), "published", APPROVE, "old_enough"),
        (None, ago(1), "published", DEFER, "too_young"),
        (None, None, "published", DEFER, "age_unknown"),
        (None, ago(30).replace(tzinfo=None), "published", DEFER, "age_unknown"),
        (ago(30), ago(1), "first_seen", DEFER, "too_young"),
        (ago(30), None, "first_seen", DEFER, "age_unknown"),
        (ago(-1), None, "published", DEFER, "too_young"),
        (datetime.max.replace(tzinfo=UTC), None, "published", DEFER, "too_young"),
        # Stamped by reproducible builds: unknown, not ancient.
        (datetime(1970, 1, 1, tzinfo=UTC), None, "published", DEFER, "age_unknown"),
        (datetime(1980, 1, 1, tzinfo=UTC), ago(1), "published", DEFER, "too_young"),
        # A naive time names no instant.
        (ago(30).replace(tzinfo=None), None, "published", DEFER, "age_unknown"),
    ],
)
def test_a_version_must_have_been_out_long_enough(published, first_seen, basis, verdict, reason):
    gate = MinimumAge(3 * DAY, basis=basis)
    decision = gate(make_candidate(facts=Facts(published_at=published, first_seen=first_seen)))
    assert (decision.verdict, code(decision)) == (verdict, reason)
    assert decision.policy_applied == "minimum_age=3d"


def test_a_young_version_is_deferred_until_it_is_old_enough():
    gate = MinimumAge(3 * DAY)
    candidate = make_candidate(facts=Facts(published_at=ago(1)))
    until = gate(candidate).until
    assert until == ago(-2)
    assert not gate(attrs.evolve(candidate, now=until - timedelta(seconds=1))).safe
    assert gate(attrs.evolve(candidate, now=until)).safe


def test_even_no_minimum_age_takes_nothing_from_the_future():
    assert code(MinimumAge(0)(make_candidate(facts=Facts(published_at=ago(-1))))) == "too_young"


@pytest.mark.parametrize(
    ("unknown", "verdict"),
    [("defer", DEFER), ("review", Verdict.REVIEW_REQUIRED), ("reject", REJECT)],
)
def test_what_an_unknown_age_means_is_the_policys_choice(unknown, verdict):
    assert MinimumAge(DAY, unknown=unknown)(make_candidate()).verdict is verdict


def test_without_a_time_it_defers():
    assert code(MinimumAge(DAY)(make_candidate(now=None, facts=Facts(published_at=ago(9))))) == "no_time"


@pytest.mark.parametrize("age_s", [-1, float("nan"), float("inf"), 1e12])
def test_an_age_that_is_no_duration_is_an_error(age_s):
    with pytest.raises(ConfigurationError, match="minimum_age: expected seconds"):
        MinimumAge(age_s)


@pytest.mark.parametrize("choice", [{"basis": "built"}, {"unknown": "approve"}])
def test_an_unknown_choice_is_an_error_and_approve_is_none(choice):
    with pytest.raises(ConfigurationError, match=r"minimum_age\.(basis|unknown): expected"):
        MinimumAge(DAY, **choice)


# --- tags -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("include", "exclude", "new", "reason"),
    [
        ([], [], "1.2.3", "tag_allowed"),
        (["1.*"], [], "1.2.3", "tag_allowed"),
        (["1.*"], [], "2.0.0", "tag_not_included"),
        (["1.*", "2.?.0"], [], "2.5.0", "tag_allowed"),
        ([], ["*-alpine"], "1.2.3-alpine", "tag_excluded"),
        (["*"], ["*-alpine*"], "1.2.3-alpine3.20", "tag_excluded"),
        (["1.2"], [], "1.2.3", "tag_not_included"),
        (["V1*"], [], "v1.2.3", "tag_not_included"),
        (["re:1\\.[0-9]+\\.[0-9]+"], [], "1.22.3", "tag_allowed"),
        (["re:1\\.[0-9]+"], [], "1.22.3", "tag_not_included"),
        ([], ["re:.*-(alpine|slim)"], "1.2.3-slim", "tag_excluded"),
    ],
)
def test_tags_are_included_and_excluded_by_patterns_over_the_whole_tag(include, exclude, new, reason):
    if any(pattern.startswith("re:") for pattern in (*include, *exclude)):
        pytest.importorskip("re2")
    decision = TagPatterns(include, exclude)(make_candidate("1.0.0", new))
    assert code(decision) == reason
    assert decision.safe is (reason == "tag_allowed")


# --- sources ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("registries", "repositories", "image", "reason"),
    [
        ([], [], "evil.example/x", "source_allowed"),
        (["ghcr.io"], [], "ghcr.io/acme/shop", "source_allowed"),
        (["GHCR.io"], [], "ghcr.io/acme/shop", "source_allowed"),
        (["ghcr.io"], ["ghcr.io/*"], "GHCR.io/acme/shop", "source_allowed"),
        (["ghcr.io"], [], "ghcr.io.evil.example/acme/shop", "registry_not_allowed"),
        (["gcr.io"], [], "evil-gcr.io/acme/shop", "registry_not_allowed"),
        (["*.acme.example"], [], "eu.acme.example:5000/shop", "registry_not_allowed"),
        (["*.acme.example:*"], [], "eu.acme.example:5000/shop", "source_allowed"),
        ([], ["nginx"], "nginx", "source_allowed"),
        ([], ["nginx"], "evil.example/library/nginx", "repository_not_allowed"),
        ([], ["acme/*"], "acme/shop", "source_allowed"),
        ([], ["acme/*"], "ghcr.io/acme/shop", "repository_not_allowed"),
        ([], ["acme*/shop"], "acme.evil.example/shop", "repository_not_allowed"),
        ([], ["*/acme/*"], "ghcr.io/acme/shop", "source_allowed"),
        ([], ["ghcr.io/acme/*"], "ghcr.io/acme/web/shop", "source_allowed"),
        ([], ["localhost/*"], "localhost/shop", "source_allowed"),
        (["docker.io"], ["ghcr.io/*"], "ghcr.io/acme/shop", "registry_not_allowed"),
        ([], ["*"], "ghcr.io/acme/shop", "source_allowed"),
    ],
)
def test_images_come_from_allowed_sources_only(registries, repositories, image, reason):
    decision = Sources(registries, repositories)(make_candidate(image=image))
    assert code(decision) == reason
    assert decision.safe is (reason == "source_allowed")


def with_chart(repository):
    candidate = make_candidate()
    chart = ChartReference(name="shop", version="1.2.4", repository=repository)
    return attrs.evolve(candidate, change=attrs.evolve(candidate.change, new=chart))


@pytest.mark.parametrize(
    ("repository", "reason"),
    [
        ("https://charts.acme.example/stable", "source_allowed"),
        ("oci://charts.acme.example/stable/", "source_allowed"),
        ("https://charts.evil.example/stable", "registry_not_allowed"),
        (None, "source_unknown"),
    ],
)
def test_charts_come_from_allowed_sources_only(repository, reason):
    gate = Sources(["charts.acme.example"], ["charts.acme.example/stable/shop"])
    assert code(gate(with_chart(repository))) == reason


# --- owners and labels ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fact", "seen", "allow", "reason"),
    [
        (None, "", [], "not_owned"),
        (None, None, [], "owner_unknown"),
        (None, "argocd", [], "owned"),
        ("helm/shop", "", [], "owned"),
        ("", "argocd", [], "not_owned"),
        ("helm/shop", "", ["helm/*"], "owner_allowed"),
        ("helm/shop", "", ["argocd"], "owned"),
        (None, None, ["*"], "owner_unknown"),
    ],
)
def test_what_another_tool_manages_is_left_to_it(fact, seen, allow, reason):
    decision = Ownership(allow)(make_candidate(facts=Facts(owner=fact), owner=seen))
    assert code(decision) == reason
    assert decision.verdict is (APPROVE if reason in ("not_owned", "owner_allowed") else REJECT)
    if reason == "owned":
        assert (fact or seen) in decision.reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("true", "not_disabled"),
        ("True", "not_disabled"),
        (" on ", "not_disabled"),
        ("false", "disabled_by_label"),
        ("FALSE", "disabled_by_label"),
        ("0", "disabled_by_label"),
        ("no", "disabled_by_label"),
        ("flase", "label_invalid"),
        ("", "label_invalid"),
        ("true;false", "label_invalid"),
    ],
)
def test_a_label_may_only_restrict(value, reason):
    decision = Labels()(make_candidate(labels={"safeupdater.enable": value, "tier": "db"}))
    assert code(decision) == reason
    assert decision.verdict is (APPROVE if reason == "not_disabled" else REJECT)


def test_without_the_label_nothing_is_restricted():
    assert Labels()(make_candidate(labels={"tier": "db"})).safe
    assert Labels("acme.update")(make_candidate(labels={"safeupdater.enable": "false"})).safe


# --- databases and quarantine -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "current", "new", "declared", "reason"),
    [
        ("postgres", "15.4", "16.0", None, "stateful_major"),
        ("postgres", "15.4", "15.5", None, "stateful_minor"),
        ("postgres", "15-alpine", "16-alpine", None, "stateful_major"),
        ("bitnami/postgresql", "15.4.0", "16.0.0", None, "stateful_major"),
        ("ghcr.io/acme/mariadb", "10.11.2", "11.0.2", None, "stateful_major"),
        ("mcr.microsoft.com/mssql/server", "2019.1.0", "2022.1.0", None, "stateful_major"),
        ("qdrant/qdrant", "0.11.1", "0.12.0", None, "stateful_major"),
        ("qdrant/qdrant", "0.11.1", "0.11.2", None, "stateful_minor"),
        ("postgres", "15.4.0", "16.0.0-rc.1", None, "stateful_major"),
        ("nginx", "1.2.3", "2.0.0", None, "not_stateful"),
        ("acme/postgres-exporter", "1.2.3", "2.0.0", None, "not_stateful"),
        ("acme/ledger", "1.2.3", "2.0.0", True, "stateful_major"),
        ("postgres", "15.4", "16.0", False, "not_stateful"),
    ],
)
def test_a_major_step_of_a_database_is_never_automatic(image, current, new, declared, reason):
    decision = StatefulGuard(declared)(make_candidate(current, new, image=image))
    assert code(decision) == reason
    assert decision.verdict is (Verdict.MANUAL_APPROVAL if reason == "stateful_major" else APPROVE)


@pytest.mark.parametrize(
    ("tag", "reason"), [("latest", "stateful_major"), ("16", "stateful_minor"), ("16.2", "stateful_minor")]
)
def test_other_bits_behind_a_floating_tag_of_a_database_may_be_the_next_major(tag, reason):
    candidate = make_candidate(tag, tag, VersionChangeType.DIGEST, image="postgres")
    assert code(StatefulGuard()(candidate)) == reason


def test_a_database_chart_is_known_by_its_name():
    candidate = make_candidate()
    old, new = (ChartReference(name="postgresql", version=version) for version in ("15.0.0", "16.0.0"))
    change = attrs.evolve(candidate.change, current=old, new=new)
    assert code(StatefulGuard()(attrs.evolve(candidate, change=change))) == "stateful_major"


@pytest.mark.parametrize("why", ["rolled back", ""])
def test_what_is_in_quarantine_is_rejected(why):
    assert code(NotQuarantined()(make_candidate(facts=Facts(quarantined=why)))) == "quarantined"
    assert NotQuarantined()(make_candidate()).safe
