"""How a text file is encoded, judged over the whole file: a part of its rows must never be lost for their accents."""

from __future__ import annotations

import codecs
import io
import re
from dataclasses import dataclass
from pathlib import Path

from cl.errors import SourceError
from cl.ingestion.bounds import BUFFER, UTF_8, open_bytes
from cl.ingestion.values import readable_path

BLOCK = 1 << 20
SAMPLE = 1 << 16
"""Bytes of texts that are not UTF-8 from which their encoding is guessed."""
LINE = 1 << 20
MARKS = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF8: UTF_8}
MARKS |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""Byte order marks and their encodings; that of UTF-32 begins with that of UTF-16."""
WESTERN = "cp1252"
CANDIDATES = [WESTERN, "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "koi8_r", "iso8859_2"]
CANDIDATES += ["cp932", "euc_jp", "gb18030", "big5", "cp949"]
LATIN = {WESTERN, "cp1250", "cp1254", "cp1257", "iso8859_2"}
LANGUAGES = {
    "Spanish": (WESTERN, "áéíóúüñ"),
    "French": (WESTERN, "àâæçéèêëîïôœùûüÿ"),
    "German": (WESTERN, "äöüßé"),
    "Portuguese": (WESTERN, "áâãàçéêíóôõú"),
    "Italian": (WESTERN, "àèéìòù"),
    "Nordic": (WESTERN, "åäöæøé"),
    "Icelandic": (WESTERN, "áéíóúýðþæö"),
    "Hungarian": ("cp1250", "áéíóöőúüű"),
    "Polish": ("cp1250", "ąćęłńóśźż"),
    "Czech and Slovak": ("cp1250", "áčďéěíňóřšťúůýžľĺŕôä"),
    "Croatian and Slovene": ("cp1250", "čćđšž"),
    "Romanian": ("cp1250", "ăâîşţ"),
    "Turkish": ("cp1254", "çğıöşüâî\u0307"),
    "Lithuanian": ("cp1257", "ąčęėįšųūž"),
    "Latvian": ("cp1257", "āčēģīķļņšūž"),
    "Estonian": ("cp1257", "äöõüšž"),
}
"""The accented letters of languages, and the Windows code page in which their files are."""
NAMES = {"cp1252": "Windows-1252", "cp932": "Shift JIS", "gb18030": "GB 18030", "big5": "Big5", "koi8_r": "KOI8-R"}
NAMES |= {
    "cp949": "Korean (CP949)",
    "euc_jp": "EUC-JP",
    "iso8859_2": "Latin-2",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32": "UTF-32",
}
STRAY = 0.05
"""A file of another encoding may hold this share of texts that happen to be UTF-8 as well."""


@dataclass(frozen=True)
class Encoding:
    """An encoding by Python's name; ``example``: a word that shows it, where it was guessed."""

    codec: str = UTF_8
    example: str = ""

    def __str__(self) -> str:
        name = NAMES.get(self.codec, self.codec.replace("cp", "Windows-"))
        return f"{name} (such as '{self.example}')" if self.example else name


def encoding_of(path: Path) -> Encoding:
    """Return the encoding of a text file; all of it is read, quickly if it is ASCII or UTF-8.

    Texts that are not UTF-8 in a file that is UTF-8 elsewhere stay for quarantine, as long as they are fewer.

    Raises:
        SourceError: it mixes encodings, or is in none that is known.
    """
    encoding = encoding_of_head(path)
    if encoding != Encoding():
        return encoding
    with open_bytes(path) as file:
        if _is_utf_8(file):
            return encoding
    return _judge_parts(path)


def encoding_of_head(path: Path) -> Encoding:
    """Return the encoding that a file's first bytes show; UTF-8 where they show none."""
    with open_bytes(path) as file:
        head = file.read(BUFFER)
    mark = next((codec for beginning, codec in MARKS.items() if head.startswith(beginning)), None)
    return Encoding(mark or _without_mark(head) or UTF_8)


def _without_mark(head: bytes) -> str | None:
    """Return UTF-16 of either order for text of which every other byte is zero."""
    shares = [head[first::2].count(0) / max(1, len(head) // 2) for first in (0, 1)]
    if max(shares) < 0.5 or min(shares) > 0.1:
        return None
    return "utf-16-le" if shares[1] > shares[0] else "utf-16-be"


def _is_utf_8(file: io.BufferedReader) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while block := file.read(BLOCK):
            if not block.isascii() or decoder.getstate()[0]:
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _judge_parts(path: Path) -> Encoding:
    """Judge the parts of lines between quotation marks: a line of JSON may hold the whole file."""
    valid = other = 0
    first, sample = 0, bytearray()
    with open_bytes(path) as file:
        for number, line in enumerate(iter(lambda: file.readline(LINE), b""), 1):
            if line.isascii():
                continue
            for part in line.split(b'"'):
                if part.isascii():
                    continue
                try:
                    part.decode("utf-8")
                except UnicodeDecodeError:
                    other, first = other + 1, first or number
                    if len(sample) < SAMPLE:
                        sample += part[:SAMPLE] + b"\n"
                else:
                    valid += 1
    if valid >= other:
        return Encoding()
    if valid > STRAY * (valid + other):
        raise SourceError(
            f"{readable_path(path)}: mixes encodings: of {valid + other} texts that are not ASCII, {other} are not "
            f"UTF-8, the first of them in line {first}; save it as UTF-8"
        )
    return _guess(path, bytes(sample))


def _guess(path: Path, sample: bytes) -> Encoding:
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=CANDIDATES, enable_fallback=False).best()
    codec = best.encoding if best else WESTERN
    if codec in LATIN or _mixes_alphabets(sample.decode(codec, "replace")):
        codec = _latin_code_page(sample)
    text = sample.decode(codec, "replace")
    if re.search(r"[\x00-\x08\x0e-\x1f]", text) or "\ufffd" in text[:-2]:
        raise SourceError(
            f"{readable_path(path)}: is neither UTF-8 nor in any encoding that is known; save it as UTF-8"
        )
    words = re.findall(r"\w*[^\W\x00-\x7f]\w*", text) or re.findall(r"[^\x00-\x7f]", text)
    return Encoding(codec, words[0][:30] if words else "")


def _mixes_alphabets(text: str) -> bool:
    """Return whether most words with letters that are not ASCII have others next to them: accents in a Latin text."""
    words = re.findall(r"[^\W\d]*[^\W\d\x00-\x7f][^\W\d]*", text)
    return sum(any(letter < "\x7f" for letter in word) for word in words) > len(words) / 2


def _latin_code_page(sample: bytes) -> str:
    """Return the code page in which the accented letters are those of one language; of equal ones, the first.

    General detectors find the alphabet, but not which of its code pages, in texts as short as these.
    """

    def share(codec: str, letters: str) -> float:
        text = sample.decode(codec, "replace").lower()
        accented = re.findall(r"[^\W\d\x00-\x7f]", text)
        signs = re.findall(r"(?<=[^\W\d])[^\w\x00-\x7f’](?=[^\W\d])", text)
        return sum(letter in letters for letter in accented) / len(accented + signs) if accented or signs else 1.0

    shares = {name: share(codec, letters) for name, (codec, letters) in LANGUAGES.items()}
    western = "".join(letters for codec, letters in LANGUAGES.values() if codec == WESTERN)
    shares["any western"] = round(share(WESTERN, western) - 0.02, 2)
    best = max(shares, key=lambda name: round(shares[name], 2))
    return WESTERN if best == "any western" else LANGUAGES[best][0]
