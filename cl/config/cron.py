"""Cron schedules: five fields as Prefect reads them, and whether they ever fire."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

EVERY_SO_OFTEN = {"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"}
LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
PART = re.compile(r"(?P<first>\*|\?|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>[1-9]\d*))?")
SPECIAL_WEEKDAY = re.compile(r"(?:[0-7]|[a-z]{3})#[1-5]|l[0-7]")
"""The n-th or the last of its kind in a month, such as 5#2 and L5."""


@dataclass(frozen=True)
class Field:
    """One field of a schedule: its range, and names that stand for numbers."""

    name: str
    low: int
    high: int
    names: dict[str, int] = field(default_factory=dict)


def _names(words: str, first: int) -> dict[str, int]:
    return {word: number for number, word in enumerate(words.split(), start=first)}


FIELDS = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day", 1, 31),
    Field("month", 1, 12, _names("jan feb mar apr may jun jul aug sep oct nov dec", 1)),
    Field("weekday", 0, 7, _names("sun mon tue wed thu fri sat", 0)),
)


def check_cron(schedule: str) -> None:
    """Check that a cron schedule can be read, and that there is a day on which it fires.

    >>> check_cron("0 6 * * mon-fri")

    Raises:
        ValueError: it has not five fields, a field is wrong, or no month has its day.
    """
    if schedule.strip().lower() in EVERY_SO_OFTEN:
        return
    texts = schedule.lower().split()
    if len(texts) != len(FIELDS):
        raise ValueError(
            f"needs 5 fields (minute, hour, day, month, weekday), has {len(texts)}; every hour: '0 * * * *'"
        )
    values = [_values(about, text) for about, text in zip(FIELDS, texts, strict=True)]
    days, months = values[2], values[3]
    if values[4] is None and texts[2] not in ("*", "?"):
        raise ValueError(f"weekday '{texts[4][:20]}' cannot be combined with a day; write * for the day")
    if days is not None and not any(day <= LONGEST_MONTHS[month - 1] for month in months or () for day in days):
        raise ValueError(f"never fires: no month '{texts[3][:20]}' has a day '{texts[2][:20]}'")


def _values(about: Field, text: str) -> set[int] | None:
    """Return the numbers that a field stands for; None: days that depend on the month, or weekdays."""
    values: set[int] = set()
    for part in text.split(","):
        if (about.name == "day" and part == "l") or (about.name == "weekday" and SPECIAL_WEEKDAY.fullmatch(part)):
            return None
        values |= _numbers(about, part)
    return values


def _numbers(about: Field, part: str) -> set[int]:
    match = PART.fullmatch(part)
    everything = match is not None and match["first"] in ("*", "?")
    if match is None or (everything and match["last"]) or ("?" in part and about.name not in ("day", "weekday")):
        raise ValueError(
            f"{about.name} '{part[:20]}' cannot be read; use *, a number, 1-5, */10 or a list such as 1,15"
        )
    if everything:
        first, last = about.low, about.high
    else:
        first = _number(about, match["first"])
        last = _number(about, match["last"]) if match["last"] else about.high if match["step"] else first
    if first > last:  # around the end, such as 22-6
        last += about.high - about.low + 1
    numbers = range(first, last + 1, int(match["step"] or 1))
    return {about.low + (number - about.low) % (about.high - about.low + 1) for number in numbers}


def _number(about: Field, word: str) -> int:
    number = about.names.get(word, int(word) if word.isascii() and word.isdigit() and len(word) < 4 else -1)
    if not about.low <= number <= about.high:
        names = f" or a name such as {next(iter(about.names))}" if about.names else ""
        raise ValueError(f"{about.name} '{word[:20]}' is not a number from {about.low} to {about.high}{names}")
    return number
