"""Where the words of a text begin and end, wherever a text is tagged whose words nobody has split."""

from __future__ import annotations

import re
import unicodedata
from functools import cache


def token_offsets(text: str) -> list[tuple[int, int]]:
    """Return where the tokens of a text begin and end.

    Tokens are runs of letters, digits and underscores with their accents; each Chinese or Japanese character and every
    other character that is no white space is a token by itself.

    >>> [("Anna's 3 cats.")[start:end] for start, end in token_offsets("Anna's 3 cats.")]
    ['Anna', "'", 's', '3', 'cats', '.']
    """
    return [match.span() for match in _token().finditer(text)]


@cache
def _token() -> re.Pattern[str]:
    marks = "".join(re.escape(chr(code)) for code in range(0x300, 0xFE30) if unicodedata.category(chr(code))[0] == "M")
    single = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    return re.compile(rf"[{single}]|(?:[^\W{single}]|[{marks}])+|\S")
