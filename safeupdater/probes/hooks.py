"""Running hooks: in the old container, or as a command beside the updater."""

from __future__ import annotations

import subprocess

from safeupdater.domain.operation import DONE, Hook, StepOutcome, StepStatus
from safeupdater.protocols import OperationContext, ProbeTarget


class CommandHooks:
    """Runs the command of a hook, without a shell; anything but exit code 0 refuses the step.

    A command beside the updater gets ``SAFEUPDATER_OPERATION`` and ``SAFEUPDATER_TARGET`` in an otherwise
    empty environment (``PATH`` apart), so that none of our credentials reach it.
    """

    def run(self, hook: Hook, operation: OperationContext, target: ProbeTarget | None) -> StepOutcome:
        """The outcome of one hook."""
        if hook.in_container:
            return self._run_inside(hook, target)
        return self._run_beside(hook, operation)

    def _run_inside(self, hook: Hook, target: ProbeTarget | None) -> StepOutcome:
        if target is None:
            message = f"the hook {hook.name} runs in the container, and there is none"
            return StepOutcome(StepStatus.REFUSED, "hook_failed", message)
        result = target.execute(hook.argv, hook.timeout_s)
        return _outcome(hook, result.exit_code)

    def _run_beside(self, hook: Hook, operation: OperationContext) -> StepOutcome:
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "SAFEUPDATER_OPERATION": operation.operation_id,
            "SAFEUPDATER_TARGET": operation.target_id,
        }
        try:
            done = subprocess.run(
                hook.argv, env=environment, timeout=hook.timeout_s, check=False,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            message = f"the hook {hook.name} did not end within {hook.timeout_s:g} s"
            return StepOutcome(StepStatus.REFUSED, "hook_timeout", message)
        except OSError as error:
            message = f"the hook {hook.name} could not be run: {error.strerror}"
            return StepOutcome(StepStatus.REFUSED, "hook_failed", message)
        return _outcome(hook, done.returncode)


def _outcome(hook: Hook, exit_code: int) -> StepOutcome:
    if exit_code == 0:
        return DONE
    return StepOutcome(
        StepStatus.REFUSED, "hook_failed", f"the hook {hook.name} ended with exit code {exit_code}"
    )
