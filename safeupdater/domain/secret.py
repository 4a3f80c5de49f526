"""A credential as a value that does not show itself."""

from __future__ import annotations

import hmac
from typing import AnyStr, Generic, NoReturn, Self

REDACTED = "***"


class Secret(Generic[AnyStr]):
    """A password, token or key: whatever prints, formats or logs it gets ``***``; only ``reveal`` gives it.

    It cannot be pickled, and copies are the same object. Two are equal when their values are.

    >>> f"{Secret('hunter2')} {Secret('hunter2')!r}"
    '*** Secret(***)'
    """

    __slots__ = ("__value",)

    def __init__(self, value: AnyStr) -> None:
        self.__value: AnyStr = value

    def reveal(self) -> AnyStr:
        """The value itself; call it where it is sent, and keep it in no variable."""
        return self.__value

    def __repr__(self) -> str:
        return f"Secret({REDACTED})"

    def __str__(self) -> str:
        return REDACTED

    def __format__(self, spec: str) -> str:
        return format(REDACTED, spec)

    def __bool__(self) -> bool:
        return bool(self.__value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self.__value), _bytes(other.reveal()))

    def __hash__(self) -> int:
        return hash(_bytes(self.__value))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret is not pickled: it would be written down; give the other side its own")


def secret_text(value: str | Secret[str]) -> Secret[str]:
    """A text as a secret, which it may be already."""
    return value if isinstance(value, Secret) else Secret(value)


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
