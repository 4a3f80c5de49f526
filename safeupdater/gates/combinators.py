"""Gates compose: ``a & b`` is the stricter of two, ``a | b`` the milder, and every reason is kept.

There is no ``~``: the negation of "not safe" is not "safe". Every gate of a composition is evaluated, so
that a decision names everything that stands in the way at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Protocol, cast, overload

import attrs

from safeupdater.domain.candidate import Candidate
from safeupdater.domain.decision import Decision, Reason, Verdict
from safeupdater.errors import ConfigurationError
from safeupdater.gates.evaluation import RANK, Composition, evaluate, name_of, tally
from safeupdater.gates.reasons import says
from safeupdater.protocols import Gate

GateFunction = Callable[[Candidate], "Decision | Verdict | bool"]
GateLike = Gate | GateFunction
"""A gate, or a plain function that decides: ``True`` approves and ``False`` rejects."""


class Composable:
    """What gives a gate its operators; mixed into the class of a gate."""

    __slots__ = ()

    def __and__(self: Gate, other: GateLike) -> AllOf:
        return all_of(self, other)

    def __rand__(self: Gate, other: GateLike) -> AllOf:
        return all_of(other, self)

    def __or__(self: Gate, other: GateLike) -> AnyOf:
        return any_of(self, other)

    def __ror__(self: Gate, other: GateLike) -> AnyOf:
        return any_of(other, self)

    def __bool__(self) -> bool:
        # `a and b` would silently drop a.
        raise TypeError("a gate is neither true nor false: compose gates with & and |, not with and/or/not")


class ComposableGate(Gate, Protocol):
    """A gate with operators."""

    def __and__(self, other: GateLike) -> AllOf: ...

    def __rand__(self, other: GateLike) -> AllOf: ...

    def __or__(self, other: GateLike) -> AnyOf: ...

    def __ror__(self, other: GateLike) -> AnyOf: ...


# --- composing --------------------------------------------------------------------------------------------


def _parts(gates: Iterable[Gate]) -> tuple[Gate, ...]:
    parts = tuple(gates)
    if not parts:
        raise ConfigurationError("a composition of no gates decides nothing: give at least one gate")
    for part in parts:
        if not isinstance(part.needs, frozenset):
            raise ConfigurationError(f"gate {name_of(part)}: needs must be a frozenset of fact names")
    return parts


@attrs.frozen
class _Composed(Composable, Composition):
    gates: tuple[Gate, ...] = attrs.field(converter=_parts)

    @property
    def needs(self) -> frozenset[str]:
        """The facts that any of its gates reads."""
        return frozenset().union(*(part.needs for part in self.gates))

    def __call__(self: Gate, candidate: Candidate) -> Decision:
        """The decision that follows from all of them, with every reason."""
        return evaluate(self, candidate)


@attrs.frozen
class AllOf(_Composed):
    """Every gate must agree: the strictest verdict, and every reason. Made by ``a & b`` and ``all_of``."""

    name: str = attrs.field(default="all_of", kw_only=True)

    def tally(self, candidate: Candidate, reasons: set[Reason]) -> int:
        """Adds every gate's reasons and gives the rank of the strictest verdict."""
        return max([tally(part, candidate, reasons) for part in self.gates])


@attrs.frozen
class AnyOf(_Composed):
    """One gate is enough: the mildest verdict, and every reason. Made by ``a | b`` and ``any_of``.

    A gate that raised rejects all the same: nobody knows what it would have said.
    """

    name: str = attrs.field(default="any_of", kw_only=True)

    def tally(self, candidate: Candidate, reasons: set[Reason]) -> int:
        """Adds every gate's reasons and gives the rank of the mildest verdict, or of a fatal one."""
        mine: set[Reason] = set()
        rank = min([tally(part, candidate, mine) for part in self.gates])
        reasons |= mine
        return RANK[Verdict.REJECT] if any(reason.fatal for reason in mine) else rank


def all_of(*gates: GateLike) -> AllOf:
    """The gate that is as strict as the strictest of these.

    Raises:
        ConfigurationError: no gate is given, or something that is not one.
    """
    return AllOf(_flat(gates, AllOf))


def any_of(*gates: GateLike) -> AnyOf:
    """The gate that is as mild as the mildest of these, unless one of them raises.

    Raises:
        ConfigurationError: no gate is given, or something that is not one.
    """
    return AnyOf(_flat(gates, AnyOf))


def _flat(gates: Iterable[GateLike], kind: type[AllOf] | type[AnyOf]) -> tuple[Gate, ...]:
    parts: list[Gate] = []
    for given in gates:
        part = as_gate(given)
        parts += part.gates if isinstance(part, kind) else (part,)
    return tuple(parts)


# --- plain functions --------------------------------------------------------------------------------------


@attrs.frozen
class FunctionGate(Composable):
    """A plain function, or a gate without operators, as a gate that composes. Made by ``gate``."""

    function: GateFunction
    name: str
    needs: frozenset[str] = frozenset()

    def __call__(self, candidate: Candidate) -> Decision:
        """The function's decision; a verdict or a truth value becomes one."""
        answer: object = self.function(candidate)
        if isinstance(answer, bool):
            answer = Verdict.APPROVE if answer else Verdict.REJECT
        if isinstance(answer, Verdict):
            return says(self.name, answer, f"{_slug(self.name)}_{answer}", f"{self.name} says {answer}")
        # Anything else but a decision is found and refused where the gate is evaluated.
        return answer  # type: ignore[return-value]


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name.lower()).strip("_") or "function"


@overload
def gate(
    function: GateLike, name: str | None = None, needs: Iterable[str] | None = None
) -> ComposableGate: ...
@overload
def gate(
    function: None = None, name: str | None = None, needs: Iterable[str] | None = None
) -> Callable[[GateLike], ComposableGate]: ...
def gate(
    function: GateLike | None = None, name: str | None = None, needs: Iterable[str] | None = None
) -> ComposableGate | Callable[[GateLike], ComposableGate]:
    """The gate that a plain function is, with operators; as a decorator, with arguments or without.

    The function takes a candidate and gives a ``Decision``, a ``Verdict`` or a truth value. ``name`` is
    what reasons call it, by default the function's own; ``needs`` are the facts that it reads.

    Raises:
        ConfigurationError: what is given cannot be called, or is a coroutine function.
    """
    if function is None:
        return lambda decorated: as_gate(decorated, name, needs)
    return as_gate(function, name, needs)


def as_gate(
    function: GateLike, name: str | None = None, needs: Iterable[str] | None = None
) -> ComposableGate:
    """``gate`` without its use as a decorator, so that None is a mistake here.

    Raises:
        ConfigurationError: what is given cannot be called, or is a coroutine function.
    """
    if isinstance(function, Composable) and name is None and needs is None:
        return cast(ComposableGate, function)
    if not callable(function) or isinstance(function, type):
        raise ConfigurationError(f"{type(function).__name__} is not a gate: it cannot be called")
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        raise ConfigurationError(f"{name_of(function)} is not a gate: gates are plain functions, not async")
    known = getattr(function, "needs", frozenset()) if needs is None else needs
    return FunctionGate(function, name or name_of(function), _fact_names(known, name_of(function)))


def _fact_names(needs: object, owner: str) -> frozenset[str]:
    if isinstance(needs, str) or not isinstance(needs, Iterable):
        raise ConfigurationError(f"gate {owner}: needs must be a set of fact names, such as {{'owner'}}")
    return frozenset(needs)
