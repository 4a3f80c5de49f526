"""What ``doctor`` says of one thing."""

from __future__ import annotations

import enum

import attrs


class Health(enum.Enum):
    """How one thing is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"

    def __str__(self) -> str:
        return self.value


@attrs.frozen(kw_only=True)
class Check:
    """One thing looked at; ``remedy`` says what to do where it is not well."""

    subject: str
    health: Health
    detail: str
    remedy: str = ""
