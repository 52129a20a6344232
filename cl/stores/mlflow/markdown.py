"""Text from data, such as a label's name or a reason, as Markdown that shows it and obeys none of it."""

from __future__ import annotations

import re

MARKS = re.compile(r"[\\`*_\[\]|~#!]")
ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"})


def escape_markdown(text: object, *, most: int = 200) -> str:
    r"""Return a text of at most ``most`` characters on one line: no markup, link, mention or invisible character.

    >>> escape_markdown("<b>new</b>\n[label](http://x.example)")
    '&lt;b&gt;new&lt;/b&gt; \\[label\\](http:&#47;/x.example)'
    """
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in str(text)).split())
    plain = plain if len(plain) <= most else f"{plain[: most - 1]}…"
    marked = MARKS.sub(lambda match: f"\\{match.group()}", plain).translate(ENTITIES)
    return marked.replace("://", ":&#47;/").replace("www.", "www&#46;")


def join_names(names: list[str], *, shown: int = 5) -> str:
    """Return escaped names in a line, and how many are left out.

    >>> join_names(["a", "b", "c"], shown=2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(escape_markdown(name, most=80) for name in names[:shown]) + more


def fit(lines: list[str], most: int) -> str:
    """Return as many whole lines as ``most`` characters hold, joined; an ellipsis stands for the rest."""
    text = "\n".join(lines)
    while len(text) > most and lines:
        lines = lines[:-1]
        text = "\n".join([*lines, "…"])
    return text
