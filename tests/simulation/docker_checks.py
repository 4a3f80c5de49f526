"""What must hold of an update on Docker: all the time, when it has ended, and when all is cleared up.

The names are those of the engine's invariants (I1 one of two, I3 write-ahead, I5 the old lives until commit,
I13 isolation …). What a container must look like is told from what its user asked for and from how it was
when it began, never from what the backend thinks.
"""

from __future__ import annotations

import pickle
from collections import Counter
from typing import Any

from safeupdater.backends.docker.names import (
    KEEP_REPOSITORY,
    OPERATION_LABEL,
    REMADE_LABEL,
    base_name,
    keep_reference,
    parked_name,
)
from safeupdater.domain.operation import (
    AbortRequested,
    Finished,
    OperationPlanned,
    Outcome,
    SnapshotCaptured,
    StepIntended,
    Verdict,
    VerdictReached,
)
from safeupdater.testing.fake_docker import FakeDocker, merged_config
from safeupdater.update.states import Ended, RollbackFailed
from tests.simulation.docker_life import Life, Moment, Violation
from tests.simulation.docker_world import REPOSITORY, Stage

Json = dict[str, Any]
_UPDATES_ITS_OWN = ("RestartPolicy", "Mounts", "NetworkMode")


def name_of(container: Json) -> str:
    """A container's name."""
    return str(container["Name"]).lstrip("/")


class Before:
    """A daemon as it was before the operation that is disturbed began."""

    def __init__(self, stage: Stage, moment: Moment, ended: int) -> None:
        self.scenario = stage.scenario
        self.body = stage.body
        self.first = {name_of(item): item for item in stage.daemon.containers.values()}
        """The containers as they were before any update: what going back by hand brings back."""
        self.ended = ended
        """How many operations had ended."""
        daemon: FakeDocker = pickle.loads(moment.daemon)
        self.daemon = daemon
        self.containers = {name_of(item): item for item in daemon.containers.values()}
        self.running = daemon.running()
        self.volumes = {volume.name: volume.content for volume in daemon.volumes.values() if volume.content}
        self.tags = tags_of(daemon)
        self.members = {"web", "side"} & self.containers.keys()
        self.ids = {self.containers[name]["Id"] for name in self.members}


def tags_of(daemon: FakeDocker) -> dict[str, str]:
    """The image that each tag names."""
    return {tag: image["Id"] for image in daemon.images.values() for tag in image["RepoTags"]}


class CheckedLife(Life):
    """A life of which every change to the daemon is checked, and the end."""

    def __init__(self, before: Before, *arguments: Any, **options: Any) -> None:
        self.before = before
        self.checked: Counter[str] = Counter()
        super().__init__(*arguments, **options)

    def holds(self, name: str, condition: object, why: str) -> None:
        """Counts an assertion of a promise and fails where it is broken."""
        self.checked[name] += 1
        if not condition:
            raise Violation(f"{name}: {why}")

    @property
    def _operation_id(self) -> str:
        return self.opened()[-1].operation_id

    @property
    def _is_open(self) -> bool:
        return bool(self.store.unfinished())

    # --- all the time ---------------------------------------------------------------------------------------

    def check_before(self, method: str, url: str) -> None:
        """Before a call that changes something: it was announced, and it is none that takes data away."""
        if self._is_open and not self.collecting:
            last = self.last_word()
            self.holds("I3", isinstance(last, StepIntended), f"{method} {url} after {type(last).__name__}")
        if method == "DELETE" and "/containers/" in url:
            is_old = any(identity in url for identity in self.before.ids)
            self.holds("I5", not (is_old and url.endswith("v=1")), "the old container goes with its volumes")

    def check_always(self) -> None:
        """After each change of the daemon."""
        self._check_names()
        self._check_lasting()
        self._check_bystanders()

    def _check_names(self) -> None:
        running = self.daemon.running()
        helpers = sorted(name for name in running if base_name(name))
        self.holds("I1", not helpers, f"{helpers} runs, which nobody knows by that name")
        of_members = [item for item in self.daemon.containers.values() if item["State"]["Running"]]
        places = Counter(base_name(name_of(item)) or name_of(item) for item in of_members)
        self.holds("I1", max(places.values(), default=0) < 2, f"two at once: {sorted(running)}")

    def _check_lasting(self) -> None:
        """The old version and its data are there until it is decided that it may go."""
        volumes = {volume.name: volume.content for volume in self.daemon.volumes.values()}
        lost = [name for name, content in self.before.volumes.items() if volumes.get(name) != content]
        self.holds("I5", not lost, f"volumes are lost: {lost}")
        if self.verdict() is Verdict.COMMIT or len(self.opened()) <= self.before.ended:
            return
        missing = self.before.ids - self.daemon.containers.keys() - self.pruned
        self.holds("I5", not missing, f"the old version is gone before the verdict: {missing}")
        if self.collecting:
            return
        images = {self.before.containers[name]["Image"] for name in self.before.members}
        self.holds("I5", images <= self.daemon.images.keys(), "the old image is gone before the verdict")

    def _check_bystanders(self) -> None:
        was = self.before.containers["bystander"]
        now = self.daemon.containers.get(was["Id"])
        self.holds("I13", now == was, "a container that is nobody's business was changed")

    # --- when it has ended ----------------------------------------------------------------------------------

    @property
    def outcome(self) -> Outcome:
        """How the operation ended, or what it waits with."""
        state = self.states()[-1]
        if isinstance(state, Ended):
            return state.outcome
        self.holds("I11", isinstance(state, RollbackFailed), f"it rests as {type(state).__name__}")
        return Outcome.ROLLBACK_FAILED

    @property
    def is_excused(self) -> bool:
        """Whether somebody removed a container that was there before, or the one that took its name."""
        return bool(self.pruned & (self.before.ids | {f"/{name}" for name in self.before.members}))

    @property
    def _only_parked_were_pruned(self) -> bool:
        """Whether nothing was removed that would not have gone anyway."""
        return not self.pruned & {f"/{name}" for name in self.before.members}

    def check_end(self, *, is_undisturbed: bool = False) -> None:
        """When the operation has ended: exactly one of the two, with everything that it had."""
        self.check_always()
        outcome, expected = self.outcome, self.before.scenario.expected
        self._check_journal(outcome)
        if self.is_excused and not (outcome is Outcome.SUCCEEDED and self._only_parked_were_pruned):
            self._check_what_is_left(outcome)
            return
        self.holds(
            "I10",
            outcome is not Outcome.SUCCEEDED or not self.before.scenario.is_bad,
            "a bad release is kept",
        )
        allowed = {expected, Outcome.ROLLED_BACK, Outcome.ABORTED}
        self.holds("I1", outcome in allowed, f"it ends as {outcome}: {self.states()[-1].message}")
        is_new = outcome is Outcome.SUCCEEDED
        self._check_set(is_new=is_new)
        self._check_members(is_new=is_new)
        if not self.collecting:
            self._check_images(is_new=is_new)
        self._check_restart()
        if is_undisturbed:
            self.holds("I11", outcome is expected, f"undisturbed it ends as {outcome}")

    def _check_what_is_left(self, outcome: Outcome) -> None:
        """Somebody removed something: what is still there is as it was, and what went back is all there."""
        self.holds("I1", outcome is not Outcome.ROLLBACK_FAILED, "what was removed was not made again")
        if outcome is Outcome.SUCCEEDED:
            return
        is_back = outcome in (Outcome.ROLLED_BACK, Outcome.ABORTED)
        now = {name_of(item): item for item in self.daemon.containers.values()}
        for name in self.before.members:
            was = self.before.containers[name]
            found = now.get(name)
            if was["Id"] in self.daemon.containers:
                self.holds("I1", found and found["Id"] == was["Id"], f"{name} did not get its name back")
            if found is None:
                is_wanted = is_back and f"/{name}" not in self.pruned
                is_wanted = is_wanted or f"/{parked_name(name)}" in self.pruned
                self.holds(
                    "I1",
                    not (is_wanted and name in self.before.running),
                    f"{outcome}, and there is no {name}",
                )
                continue
            self._check_kept(
                name, was, found, now.get("web", found), is_new=False, is_remade=found["Id"] != was["Id"]
            )
            is_down = name in self.before.running and not found["State"]["Running"]
            is_down = is_down and not (self.restarted and self.before.scenario.policy == "no")
            self.holds("I1", not is_down, f"{outcome}, and {name} does not run")

    def _check_journal(self, outcome: Outcome) -> None:
        events = self.events(self._operation_id)
        verdicts = [number for number, event in enumerate(events) if isinstance(event, VerdictReached)]
        asked = [number for number, event in enumerate(events) if isinstance(event, AbortRequested)]
        self.holds("I4", len(verdicts) <= 1, f"{len(verdicts)} verdicts")
        if asked and not (verdicts and verdicts[0] < asked[0]):
            self.holds("I4", outcome is not Outcome.SUCCEEDED, "somebody asked in time, and it went on")
        ends = [event for event in events if isinstance(event, Finished)]
        self.holds("I11", len(ends) == 1, f"{len(ends)} ends")
        self.holds("I1", self.is_excused or not ends[0].leftovers, f"leftovers: {ends[0].leftovers}")
        if not self.collecting and any(isinstance(event, SnapshotCaptured) for event in events):
            self.holds("I2", self.store.get("snapshot", self._operation_id), "the snapshot is gone")

    def _check_set(self, *, is_new: bool) -> None:
        """The same containers, those that ran run, and no volume more than before."""
        names = {name_of(item) for item in self.daemon.containers.values()}
        self.holds("I1", names == self.before.containers.keys(), f"containers: {sorted(names)}")
        running, expected = self.daemon.running(), self.before.running
        if self.restarted and self.before.scenario.policy == "no":
            expected = expected & (running | {"bystander"})
        self.holds("I1", running == expected, f"{sorted(running)} runs, not {sorted(expected)}")
        used = {mount.get("Name") for item in self.daemon.containers.values() for mount in item["Mounts"]}
        used |= self.before.daemon.volumes.keys()  # data outlives whatever version wrote it
        stray = [item.name for item in self.daemon.volumes.values() if item.name not in used]
        self.holds("I1", not stray or self.pruned, f"volumes without a container: {stray}")

    def _check_members(self, *, is_new: bool) -> None:
        now = {name_of(item): item for item in self.daemon.containers.values()}
        main = now["web"]
        for name in self.before.members:
            was, container = self.before.containers[name], now[name]
            self.holds("I1", (container["Id"] != was["Id"]) is is_new, f"{name} is not the one that stays")
            self._check_kept(name, was, container, main, is_new=is_new)
        if is_new:
            self._check_new(main)

    def _check_kept(
        self, name: str, was: Json, now: Json, main: Json, *, is_new: bool, is_remade: bool = False
    ) -> None:
        """What nobody decided to change is as it was."""
        policy, before = now["HostConfig"]["RestartPolicy"], was["HostConfig"]["RestartPolicy"]
        self.holds("I1", _policy(policy) == _policy(before), f"{name} restarts by {policy}, not by {before}")
        left_out = _UPDATES_ITS_OWN if is_new or is_remade else ("RestartPolicy",)
        self.holds(
            "I1",
            _without(now["HostConfig"], left_out) == _without(was["HostConfig"], left_out),
            f"{name} has another HostConfig: {now['HostConfig']}",
        )
        mode = was["HostConfig"]["NetworkMode"]
        if mode.startswith("container:"):
            mode = f"container:{main['Id']}"
        self.holds("I1", now["HostConfig"]["NetworkMode"] == mode, f"{name} is on another network")
        first = self.before.first.get(name, was) if is_new and self.before.scenario.by_hand else was
        mounts, had = _mounts(now), _mounts(first)
        is_kept = mounts >= had if is_new else mounts == had
        self.holds("I5", is_kept, f"{name} has other volumes: {mounts} instead of {had}")
        networks, had_networks = _networks(now), _networks(was)
        self.holds("I1", networks == had_networks, f"{name} is on {networks}, not on {had_networks}")
        if not is_new:
            config, had_config = _config(now, is_remade), _config(was, is_remade)
            self.holds("I1", config == had_config, f"{name} has another Config: {config}, not {had_config}")
            self.holds("I1", now["Image"] == was["Image"], f"{name} has another image")

    def _check_new(self, main: Json) -> None:
        """The new container is what its user would get by the same words on the new image."""
        text = f"{REPOSITORY}:{self.before.scenario.new_tag}"
        self.holds("I7", main["Config"]["Image"] == text, f"web is said to run {main['Config']['Image']}")
        opened: OperationPlanned = self.opened()[-1]
        image = self.daemon.images[main["Image"]]
        wanted = opened.changes[0].new.digest or self._digest_before()
        digests = {entry.rpartition("@")[2] for entry in image["RepoDigests"]}
        self.holds("I7", wanted in digests, f"web runs {digests}, not {wanted}")
        given = {key: value for key, value in self.before.body.items() if key not in _NOT_CONFIG}
        expected, actual = merged_config({**given, "Image": text}, image["Config"]), dict(main["Config"])
        labels = {key: text for key, text in actual.pop("Labels").items() if key != OPERATION_LABEL}
        self.holds("I1", labels == expected.pop("Labels"), f"labels: {labels}")
        # The volumes of the old image live on, attached by their names.
        actual.pop("Volumes"), expected.pop("Volumes")
        self.holds("I1", actual.pop("Hostname") == main["Id"][:12], "another host name")
        lists = {key: (sorted(actual.pop(key)), sorted(expected.pop(key))) for key in ("Env",)}
        self.holds("I1", all(mine == theirs for mine, theirs in lists.values()), f"environment: {lists}")
        differing = [
            key for key in {*actual, *expected} if (actual.get(key) or None) != (expected.get(key) or None)
        ]
        self.holds("I1", not differing, f"Config differs in {differing}")

    def _digest_before(self) -> str | None:
        """In a rollback by hand: the digest of the image that the earlier update left."""
        image = next(item for item in self.before.daemon.registry if f"{REPOSITORY}@" in item)
        return image.rpartition("@")[2]

    def _check_images(self, *, is_new: bool) -> None:
        """The old image is kept for a way back, or nothing of the attempt is left."""
        tags, kept_by = tags_of(self.daemon), keep_reference(self._operation_id)
        if not is_new:
            self.holds("I1", tags == self.before.tags, f"tags: {tags} instead of {self.before.tags}")
            return
        main = next(item for item in self.daemon.containers.values() if name_of(item) == "web")
        self.holds("I7", tags.get(main["Config"]["Image"]) == main["Image"], "the tag names another image")
        old = self.before.containers["web"]["Image"]
        self.holds("I5", tags.get(kept_by) == old, "the old image is not kept for the way back")

    def _check_restart(self) -> None:
        """The daemon may restart at any time after: the same runs then."""
        daemon: FakeDocker = pickle.loads(pickle.dumps(self.daemon))
        daemon.restart()
        expected = daemon_after_restart(self.before)
        self.holds("I1", daemon.running() == expected, f"after a restart {sorted(daemon.running())} runs")

    # --- when everything is cleared up ----------------------------------------------------------------------

    def check_collected(self) -> None:
        """When nobody can go back any more: nothing of ours is left, and nothing else has changed."""
        self.check_always()
        if self.is_excused:
            return
        kept = [tag for tag in tags_of(self.daemon) if tag.startswith(KEEP_REPOSITORY)]
        self.holds("I1", not kept, f"images are kept for ever: {kept}")
        snapshots = [key for key, _ in self.store.iterate("snapshot")]
        self.holds("I1", not snapshots, f"snapshots are kept for ever: {snapshots}")
        tags = tags_of(self.daemon)
        for container in self.daemon.containers.values():
            text = container["Config"]["Image"]
            is_named = tags.get(text) == container["Image"]
            self.holds("I13", is_named, f"{name_of(container)} runs an image that lost its name {text}")


_NOT_CONFIG = ("HostConfig", "NetworkingConfig")


def daemon_after_restart(before: Before) -> set[str]:
    """What ran before, as far as a restart of the daemon brings it back."""
    daemon: FakeDocker = pickle.loads(pickle.dumps(before.daemon))
    daemon.restart()
    return daemon.running()


def _without(section: Json, keys: tuple[str, ...]) -> Json:
    return {
        key: value for key, value in section.items() if key not in keys and value not in (None, "", [], {})
    }


def _config(container: Json, is_remade: bool) -> Json:
    """A container's Config; of one that was made again, without what comes from its id, and our label."""
    config = dict(container["Config"])
    if is_remade:
        labels = {key: value for key, value in config.pop("Labels").items() if key != REMADE_LABEL}
        is_own = config.pop("Hostname") == container["Id"][:12]
        config["Env"] = sorted(config["Env"])
        config |= {"Labels": labels, "Hostname": is_own}
        return _without(config, ())
    return config


def _policy(policy: Json) -> tuple[str, int]:
    return policy["Name"], policy.get("MaximumRetryCount") or 0


def _mounts(container: Json) -> set[tuple[object, ...]]:
    return {(item["Type"], item["Destination"], item.get("Name"), item["RW"]) for item in container["Mounts"]}


def _networks(container: Json) -> dict[str, object]:
    """What was asked for at each network; the daemon adds the short id to the aliases."""
    return {
        name: (
            sorted(alias for alias in settings["Aliases"] or () if alias != container["Id"][:12]),
            settings["IPAMConfig"], settings["Links"],
        )
        for name, settings in container["NetworkSettings"]["Networks"].items()
    }  # fmt: skip
