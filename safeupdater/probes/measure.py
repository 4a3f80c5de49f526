"""What every probe shares: a total deadline, and how an outcome becomes a sample.

A probe says *failed* with ``Unhealthy`` and *void* with ``CannotMeasure``. Nothing that the other side sent
is ever put into a sample's detail: answers are foreign content and may hold secrets.
"""

from __future__ import annotations

import errno
import ssl
import time
from collections.abc import Callable

import attrs

from safeupdater.domain.health import Sample, SampleStatus
from safeupdater.errors import SafeUpdaterError


class Unhealthy(Exception):
    """The measurement worked, and what was measured is not well."""


class CannotMeasure(Exception):
    """The probe itself could not measure, which says nothing about the target."""


_OUR_TROUBLE = frozenset(
    {
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.EADDRNOTAVAIL,
        errno.EAFNOSUPPORT,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EACCES,
        errno.EPERM,
    }
)
"""Errors of a connection that come from this side: no network, no free port or descriptor, a local filter."""


@attrs.frozen
class Deadline:
    """The instant, on the monotonic clock, at which a measurement is over, however its parts went."""

    at_s: float

    @classmethod
    def after(cls, timeout_s: float) -> Deadline:
        """The deadline that many seconds from now."""
        return cls(time.monotonic() + timeout_s)

    def remaining_s(self) -> float:
        """The seconds left, more than 0.

        Raises:
            TimeoutError: none are left.
        """
        left_s = self.at_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the deadline has passed")
        return left_s


def measured(measure: Callable[[], str]) -> Sample:
    """The sample of a measurement: ``ok`` with the detail it returns, else what its exception stands for."""
    try:
        status, detail = SampleStatus.OK, measure()
    except Unhealthy as error:
        status, detail = SampleStatus.FAILED, str(error)
    except CannotMeasure as error:
        status, detail = SampleStatus.VOID, str(error)
    except SafeUpdaterError as error:
        status, detail = SampleStatus.VOID, f"the runtime gave no answer ({error.code})"
    except TimeoutError:
        status, detail = SampleStatus.FAILED, "no complete answer before the deadline"
    except OSError as error:
        status, detail = _of_connection(error)
    return Sample(status, time.monotonic(), detail)


def _of_connection(error: OSError) -> tuple[SampleStatus, str]:
    if isinstance(error, ssl.SSLError):
        return SampleStatus.FAILED, f"TLS: {getattr(error, 'verify_message', '') or error.reason or 'failed'}"
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    if error.errno in _OUR_TROUBLE:
        return SampleStatus.VOID, f"no connection can be made from here ({name})"
    return SampleStatus.FAILED, f"connection failed ({name})"
