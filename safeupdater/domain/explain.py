"""A plan as a table that reads well on 80 columns."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from safeupdater.domain.change import Change
    from safeupdater.domain.decision import Decision, Reason
    from safeupdater.domain.plan import Option, Plan, PlannedUpdate

_WIDTH = 80
_INDENT = 17
_HANGING = "  "
_SHORT_HOST = 11
_ALWAYS_TOLD = "image_changes"


def explain_plan(plan: Plan) -> str:
    """Each update with its decision, the reason and the alternatives; then what is current and unknown."""
    blocks = [_headline(plan)]
    blocks += ["\n".join(_update(update)) for update in plan.updates]
    blocks += ["\n".join(_unknown(plan))] if plan.unknown else []
    if plan.current:
        blocks.append("\n".join(_row("current", _short_id(asset_id)) for asset_id in plan.current))
    return "\n\n".join(blocks)


def _headline(plan: Plan) -> str:
    rejected = len(plan.updates) - len(plan.approved) - len(plan.waiting)
    counts = [
        f"{len(plan.approved)} approved",
        f"{len(plan.waiting)} waiting",
        f"{rejected} rejected",
        f"{len(plan.current)} current",
        f"{len(plan.unknown)} unknown",
    ]
    return f"Plan {plan.hash[:12]}: {', '.join(counts)}"


def _update(update: PlannedUpdate) -> Iterator[str]:
    yield _row(str(update.decision.verdict), _short_id(update.target_id))
    for change in update.changes:
        yield from _wrapped(_step(update, change))
    for reason in _telling(update.decision):
        yield from _wrapped(f"{reason.message} [{reason.policy or reason.code}]")
    if update.decision.until is not None:
        yield from _wrapped(f"until {update.decision.until:%Y-%m-%d %H:%M %Z}")
    for option in update.alternatives:
        yield from _wrapped(_alternative(option))


def _telling(decision: Decision) -> tuple[Reason, ...]:
    """The reasons that gave the verdict; of those that approve, the ones that the policy asked for.

    What the new image changes is told whatever the verdict: people want to know it before they consent.
    """
    changes = (reason for reason in decision.reasons if reason.gate == _ALWAYS_TOLD)
    return tuple(dict.fromkeys((*_deciding(decision), *changes)))


def _deciding(decision: Decision) -> tuple[Reason, ...]:
    deciding = tuple(reason for reason in decision.reasons if reason.verdict is decision.verdict)
    asked_for = tuple(reason for reason in deciding if reason.policy)
    return asked_for if decision.safe and asked_for else deciding


def _step(update: PlannedUpdate, change: Change) -> str:
    container = change.asset_id.removeprefix(update.target_id).strip("/")
    return f"{container + ': ' if container else ''}{change} ({change.change_type})"


def _alternative(option: Option) -> str:
    change, decision = option.change, option.decision
    return f"or {change.new.version_text} ({change.change_type}): {decision.verdict}, {decision.reason}"


def _unknown(plan: Plan) -> Iterator[str]:
    for asset in plan.unknown:
        yield _row("unknown", _short_id(asset.asset_id))
        yield from _wrapped(f"{asset.message} [{asset.code}]")


def _row(label: str, text: str) -> str:
    return f"{label:<{_INDENT}}{text}"


def _wrapped(text: str) -> list[str]:
    """The text in lines of words, indented; a word that is too long for a line is cut."""
    width = _WIDTH - _INDENT - len(_HANGING)
    lines, line = list[str](), ""
    for word in _plain(text).split():
        for piece in _pieces(word, width):
            longer = f"{line} {piece}" if line else piece
            if line and _columns(longer) > width:
                lines, line = [*lines, line], piece
            else:
                line = longer
    margin = " " * _INDENT
    return [margin + (_HANGING if number else "") + part for number, part in enumerate([*lines, line])]


def _pieces(word: str, width: int) -> Iterator[str]:
    piece = ""
    for letter in word:
        if _columns(piece + letter) > width:
            yield piece
            piece = ""
        piece += letter
    yield piece


def _short_id(asset_id: str) -> str:
    """An id on one line: the host gives way first, since the name is what people look for."""
    width = _WIDTH - _INDENT
    if _columns(asset_id) > width:
        scheme, separator, rest = asset_id.partition("://")
        host, slash, name = rest.partition("/")
        asset_id = f"{scheme}{separator}{_short(host, _SHORT_HOST)}{slash}{name}"
    return _short(asset_id, width)


def _short(text: str, width: int) -> str:
    """The text on one line, with its middle cut out where it is too long."""
    text = _plain(text)
    if _columns(text) <= width:
        return text
    half = (width - 1) // 2
    return f"{_fitting(text, half)}…{_fitting(text[::-1], width - 1 - half)[::-1]}"


def _fitting(text: str, width: int) -> str:
    return next(_pieces(text, width))


def _plain(text: str) -> str:
    """Text from a server, fit for a terminal: what would move the cursor, colour or hide is escaped."""
    joined = " ".join(text.split())
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in joined
    )


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(_letter_columns(letter) for letter in text)


def _letter_columns(letter: str) -> int:
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
