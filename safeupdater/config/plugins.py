"""Extensions by name, with an error where nobody offers one; gates of other packages, run with a deadline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from safeupdater.config.kinds import suggestion
from safeupdater.deadlines import Patience
from safeupdater.domain.candidate import Candidate
from safeupdater.domain.decision import Decision, Verdict
from safeupdater.errors import PluginError
from safeupdater.gates import gate
from safeupdater.gates.reasons import says
from safeupdater.plugins import GROUPS, find_plugin, make_plugin, plugin_names
from safeupdater.protocols import Gate

GATE_DEADLINE_S = 5.0


def load_plugin(group: str, name: str) -> object:
    """What an installed package offers under a name in a group such as ``gates``.

    Raises:
        PluginError: nobody offers it, two packages do, or it cannot be loaded (the cause is attached).
    """
    if group not in GROUPS:
        raise PluginError(f"there is no plugin group {group!a}; known: {', '.join(GROUPS)}")
    found = find_plugin(group, name)
    if found is None:
        raise _nobody(group, name)
    return found


def made_plugin(group: str, name: str, port: type, environ: Mapping[str, str]) -> Any:
    """What the callable that a package offers makes of the environment: something of the protocol ``port``.

    Raises:
        PluginError: nobody offers it, or see ``make_plugin``.
    """
    made = make_plugin(group, name, port, environ)
    if made is None:
        raise _nobody(group, name)
    return made


def _nobody(group: str, name: str) -> PluginError:
    return PluginError(f"no package offers {name!a} in safeupdater.{group}{_known(group, name)}")


def _known(group: str, name: str) -> str:
    names = list(plugin_names(group))
    return suggestion(name, names) or (f"; offered are {', '.join(names)}" if names else "")


def plugin_gate(name: str) -> DeadlineGate:
    """The gate that a package offers: a gate or a plain function, or a class that is made without arguments.

    Raises:
        PluginError: it cannot be had, or is not a gate.
    """
    offered = load_plugin("gates", name)
    try:
        made = offered() if isinstance(offered, type) else offered
        return DeadlineGate(gate(made, name=getattr(made, "name", None) or name))  # type: ignore[arg-type]
    except (Exception, SystemExit) as error:
        raise PluginError(f"the plugin gate {name!a} cannot be made: {type(error).__name__}") from error


@attrs.define(eq=False)
class DeadlineGate:
    """A foreign gate that is asked on a thread of its own and has ``deadline_s`` seconds to answer.

    One that does not answer in time is left behind and rejects, fatally. While it still hangs it is not
    asked again, so that a hanging gate costs a thread and not one for each candidate.
    """

    _gate: Gate
    deadline_s: float = GATE_DEADLINE_S
    _patience: Patience = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._patience = Patience(f"Gate {self.name}")

    @property
    def name(self) -> str:
        """The name of the gate."""
        return self._gate.name

    @property
    def needs(self) -> frozenset[str]:
        """The facts that the gate reads."""
        return self._gate.needs

    def __call__(self, candidate: Candidate) -> Decision:
        """What the gate answers, or a fatal rejection ``gate_timeout``.

        Raises:
            Exception: whatever the gate raised; ``evaluate`` turns it into a rejection.
            PluginError: the gate tried to end the program or the thread.
        """
        try:
            return self._patience.ask(lambda: self._ask(candidate), self.deadline_s)
        except TimeoutError as error:
            return says(self.name, Verdict.REJECT, "gate_timeout", str(error), fatal=True)

    def _ask(self, candidate: Candidate) -> Decision:
        try:
            return self._gate(candidate)
        except TimeoutError as error:
            raise PluginError(f"the gate {self.name} raised TimeoutError") from error
        except Exception:
            raise
        except BaseException as error:
            raise PluginError(f"the gate {self.name} raised {type(error).__name__}") from error
