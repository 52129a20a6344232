"""The words of the project: names say what a value is, and sentences use the field's own terms."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.support.repository import ROOT

PLACEHOLDERS = {"one", "found", "told", "at", "some", "place"}
RETIRED = re.compile(
    r"\b(told|dear|strangers|standing|beside|anew|whoever|gives way|serves on|nobody stands|stands beside|learnt along"
    r"|whole numbers)\b",
    re.IGNORECASE,
)


def code() -> list[Path]:
    return sorted([*ROOT.glob("cl/**/*.py"), *ROOT.glob("flows/*.py")])


def texts() -> list[Path]:
    pages = [path for kind in ("html", "js", "yaml") for path in ROOT.glob(f"cl/**/*.{kind}")]
    notes = [path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md"]
    return sorted([*code(), *pages, *notes, *ROOT.glob("docs/**/*.md"), *ROOT.glob("mlflow/*.md")])


def bound_names(tree: ast.AST) -> list[tuple[int, str]]:
    """Return the line and the name of each variable, field and parameter."""
    stored = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    names = [(node.lineno, node.id) for node in stored]
    return names + [(node.lineno, node.arg) for node in ast.walk(tree) if isinstance(node, ast.arg)]


def test_no_value_has_a_name_that_says_nothing() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in code()
        for line, name in bound_names(ast.parse(path.read_text(encoding="utf-8")))
        if name in PLACEHOLDERS
    ]
    assert not wrong, "\n".join(wrong)


def test_no_retired_word_is_used() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}: {line.strip()[:100]}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for match in RETIRED.finditer(line)
    ]
    assert not wrong, "\n".join(wrong)


def test_what_the_rules_look_for_they_find() -> None:
    assert RETIRED.findall("It was told; the champion serves on, beside it.") == ["told", "serves on", "beside"]
    assert [name for _, name in bound_names(ast.parse("def f(at): return [one for one in at]"))] == ["one", "at"]
