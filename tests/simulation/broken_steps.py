"""Broken steps of the backend in memory, for planted bugs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from safeupdater.backends.memory.backend import (
    _STEPS,
    CANDIDATE_SUFFIX,
    FAILED_SUFFIX,
    OPERATION_LABEL,
    PARKED_SUFFIX,
    _Act,
)
from safeupdater.domain.artifact import ImageReference
from safeupdater.domain.operation import DONE


def create(**changes: Any) -> Callable[[_Act], Any]:
    def create(self: _Act) -> Any:
        if self.new() is not None:
            return DONE
        labels = {OPERATION_LABEL: self.operation.operation_id}
        image = changes.get("image", lambda act: act._image)(self)
        config = changes.get("config", lambda act: act._config)(self)
        restart = changes.get("restart", "no")
        name = self.name + CANDIDATE_SUFFIX
        self._do("create", lambda: self.world.create(name, image, config, labels=labels, restart=restart))
        return DONE

    return create


def old_image(act: _Act) -> ImageReference:
    return ImageReference.parse(str(act._snapshot.data["image"]))


def third_image(act: _Act) -> ImageReference:
    digest = act.world.publish("other:9.9.9")
    act.world.images.add(digest)
    return ImageReference.parse("other:9.9.9").with_digest(digest)


def park_keeping_restart(self: _Act) -> Any:
    old = self.old()
    if old is not None and old.running:
        self._do("stop", lambda: self.world.stop(old.name))
    if old is not None and old.name == self.name:
        self._do("rename", lambda: self.world.rename(old.name, self.name + PARKED_SUFFIX))
    return DONE


def park_by_removing(self: _Act) -> Any:
    old = self.old()
    if old is not None:
        self._do("remove", lambda: self.world.remove(old.name))
    return DONE


def park_without_looking(self: _Act) -> Any:
    old = self.old()
    if old is not None and old.restart != "no":
        self._do("update", lambda: setattr(old, "restart", "no"))
    return park_keeping_restart(self)


def park_somebody(self: _Act) -> Any:
    victim = next(iter(self.world.containers.values()))
    self._do("stop", lambda: self.world.stop(victim.name))
    return DONE


def start_old_without_policy(self: _Act) -> Any:
    old = self.old()
    if old is not None and not old.running:
        self._do("start", lambda: self.world.start(old.name))
    return DONE


def start_beside(self: _Act) -> Any:
    new = self.new()
    if new is not None and not new.running:
        self._do("start", lambda: self.world.start(new.name))
    return DONE


def commit_backwards(self: _Act) -> Any:
    new, old = self.new(), self.old()
    if new is not None and old is not None and new.name == self.name:
        self._do("rename", lambda: self.world.rename(self.name, self.name + FAILED_SUFFIX))
        self._do("rename", lambda: self.world.rename(old.name, self.name))
    return DONE


def demote_without_looking(self: _Act) -> Any:
    new = self.new()
    if new is None:
        return DONE
    self._do("remove", lambda: self.world.remove(new.name))
    return DONE


def discard_everything(self: _Act) -> Any:
    for found in (self.new(), self.old()):
        if found is not None and found.name != self.name:
            self._do("remove", lambda name=found.name: self.world.remove(name))
    return DONE


def nothing(self: _Act) -> Any:
    return DONE


def discard_after_the_policy(self: _Act) -> Any:
    """What belongs to the old one's start comes after everybody saw it run."""
    old, restart = self.old(), str(self._snapshot.data["restart"])
    if old is not None and old.name == self.name and old.restart != restart:
        self._do("update", lambda: setattr(old, "restart", restart))
    return _remove_candidate(self)


_remove_candidate = _Act.remove_candidate
_start = _Act.start


def start_over_edits(self: _Act) -> Any:
    """What somebody edited in the new one is set back."""
    new = self.new()
    if new is not None and new.config != self._config:
        self._do("update", lambda: setattr(new, "config", dict(self._config)))
    return _start(self)


WITHOUT_RESUMING = attrs.evolve(_STEPS, resuming=())
