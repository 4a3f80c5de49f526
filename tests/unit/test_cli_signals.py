"""Signals: held back where a request must not be cut off, and taken once where an update must drain."""

from __future__ import annotations

import io
import os
import signal

import pytest
from rich.console import Console

from safeupdater.cli.signals import Drain, deferred, interruptible


def _signalled(number: signal.Signals, value: str) -> list[str]:
    os.kill(os.getpid(), number)
    return [value]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_held_back_until_the_body_is_done(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), deferred():
        done += _signalled(number, "all of it")
    assert done == ["all of it"]
    assert signal.getsignal(number) is before


def test_without_a_signal_nothing_is_raised() -> None:
    with deferred():
        pass


def test_an_error_of_the_body_is_what_is_raised() -> None:
    with pytest.raises(ValueError, match="first"), deferred():
        int(_signalled(signal.SIGINT, "first")[0])


def test_sigterm_interrupts_where_nothing_is_under_way() -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), signal.SIGTERM)


def test_where_it_may_not_leave_a_second_ctrl_c_changes_nothing() -> None:
    said = io.StringIO()
    drain = Drain(Console(file=said, width=200), may_leave=False)
    drain(signal.SIGINT, None)
    drain(signal.SIGINT, None)
    assert drain.requested
    assert said.getvalue() == "stopping: what is under way is brought to a safe point\n"
