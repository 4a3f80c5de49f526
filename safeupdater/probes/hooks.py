"""Running hooks: in the container, or as a command beside the updater."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

from safeupdater.domain.operation import DONE, Hook, StepOutcome, StepStatus
from safeupdater.protocols import OperationContext, ProbeTarget

_GRACE_S = 2.0
"""How long a command that is told to end may take to do so before it is killed."""


class CommandHooks:
    """Runs the command of a hook, without a shell; anything but exit code 0 refuses the step.

    A command beside the updater gets ``SAFEUPDATER_OPERATION`` and ``SAFEUPDATER_TARGET`` in an otherwise
    empty environment (``PATH`` apart), so that none of our credentials reach it. It runs in a session of its
    own; when its time is over it is ended with everything that it started. What it prints goes nowhere: it
    may hold secrets, and could be without end.
    """

    keeps_deadlines = True

    def run(self, hook: Hook, operation: OperationContext, target: ProbeTarget | None) -> StepOutcome:
        """The outcome of one hook."""
        if hook.in_container:
            return self._run_inside(hook, target)
        return self._run_beside(hook, operation)

    def _run_inside(self, hook: Hook, target: ProbeTarget | None) -> StepOutcome:
        if target is None:
            return _refused(hook, "hook_failed", "runs in the container, and there is none")
        result = target.execute(hook.argv, hook.timeout_s)
        return _outcome(hook, result.exit_code)

    def _run_beside(self, hook: Hook, operation: OperationContext) -> StepOutcome:
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "SAFEUPDATER_OPERATION": operation.operation_id,
            "SAFEUPDATER_TARGET": operation.target_id,
        }
        try:
            process = subprocess.Popen(
                hook.argv, env=environment, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except OSError as error:
            return _refused(hook, "hook_failed", f"could not be run: {error.strerror}")
        except ValueError:
            return _refused(hook, "hook_failed", "could not be run: its command holds a null character")
        return _ended(hook, process)


def _ended(hook: Hook, process: subprocess.Popen[bytes]) -> StepOutcome:
    """The outcome of a command that was started, waited for as long as it may take."""
    try:
        return _outcome(hook, process.wait(hook.timeout_s))
    except subprocess.TimeoutExpired:
        return _refused(hook, "hook_timeout", f"did not end within {hook.timeout_s:g} s")
    finally:
        if process.returncode is None:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a command and everything that it started: told first, then killed."""
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_S)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # Its session's first process leads a group of the same id, which outlives it while others are in it.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _outcome(hook: Hook, exit_code: int) -> StepOutcome:
    return DONE if exit_code == 0 else _refused(hook, "hook_failed", f"ended with exit code {exit_code}")


def _refused(hook: Hook, code: str, what: str) -> StepOutcome:
    return StepOutcome(StepStatus.REFUSED, code, f"the hook {hook.name} {what}")
