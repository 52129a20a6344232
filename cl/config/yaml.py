"""YAML as people write it: plain data with text keys, each given once, and a line for whatever is wrong.

Booleans are those of YAML 1.2's core schema: `on`, `off`, `yes` and `no` are strings. Whatever two readers of YAML
would understand differently, or would pass over in silence, is refused: a key that is given twice, merge keys (`<<`),
numbers such as `010` and `1:30`, tags. JSON is YAML, and is read by the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from cl.errors import ConfigError

CORE = "tag:yaml.org,2002:"
TRUTH, TEXT = f"{CORE}bool", f"{CORE}str"
SCALARS = {f"{CORE}{kind}" for kind in ("null", "int", "float", "timestamp")}
"""The kinds of values that a plain word can be, besides a boolean and text."""
DEEPEST = 50
MOST_VALUES = 10_000
AMBIGUOUS = re.compile(r"[-+]?0[0-7_]+|.*:.*")
"""Numbers of YAML 1.1 that mean another number, or a text, in YAML 1.2: octal without an o, and base 60."""


class PlainLoader(yaml.SafeLoader):
    """The safe loader, without what could be misread, and with limits on depth and size."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._open: list[_Extent] = []
        self._anchored: dict[str | None, _Extent] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next node, counted as often as aliases repeat it."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "tag", None) is not None:
            _refuse(event, "tags are not read; quote the value if it begins with !")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in self.anchors and event.anchor not in self._anchored:
                _refuse(event, "a value contains itself through an alias; write it out")
            node, extent = super().compose_node(parent, index), self._anchored[event.anchor]
        else:
            self._open.append(_Extent())
            self._check_extent(event)
            node, extent = super().compose_node(parent, index), self._open.pop()
            self._anchored[event.anchor] = extent
        if self._open:
            self._open[-1].add(extent)
            self._check_extent(event)
        return node

    def _check_extent(self, event: yaml.Event) -> None:
        if len(self._open) - 1 + self._open[-1].height > DEEPEST:
            _refuse(event, f"values are nested more than {DEEPEST} deep; a configuration needs less than 10")
        if sum(extent.values for extent in self._open) > MOST_VALUES:
            _refuse(event, f"more than {MOST_VALUES:,} values, those that aliases repeat included; write fewer")

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node."""
        kind = node.tag.removeprefix(CORE)
        if isinstance(node, yaml.ScalarNode) and kind in ("int", "float") and AMBIGUOUS.fullmatch(node.value):
            _refuse(node, "a number that readers of YAML understand differently; write it as a decimal, or quote it")
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, LookupError, ArithmeticError):
            name = {"int": "an integer", "float": "a number", "timestamp": "a date"}.get(kind, f"a {kind}")
            _refuse(node, f"a value that looks like {name} and is none; quote it if it is text")

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping whose keys are texts, each given once."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.value == "<<":
                _refuse(key, "merge keys (<<) are not read, as they override values in silence; write the keys out")
            if key.tag != TEXT:
                _refuse(key, "a key must be text; quote it")
            if key.value in lines:
                _refuse(
                    key,
                    f"the key '{key.value[:100]}' is given again; its first value is in line {lines[key.value]}"
                    "; remove one of the two",
                )
            lines[key.value] = _line(key)
        return super().construct_mapping(node, deep)


PlainLoader.yaml_implicit_resolvers = {
    first: [resolver for resolver in resolvers if resolver[0] in SCALARS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
PlainLoader.add_implicit_resolver(TRUTH, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


@dataclass
class _Extent:
    """How many values a node holds, itself included, and how deep they are nested below it."""

    values: int = 1
    height: int = 0

    def add(self, inner: _Extent) -> None:
        self.values += inner.values
        self.height = max(self.height, inner.height + 1)


@dataclass(frozen=True)
class Document:
    """The plain data in a YAML document, and where it was written."""

    data: Any
    root: yaml.Node | None

    def line_of(self, keys: Sequence[int | str]) -> int | None:
        """Return the line of the value below these keys, or of the nearest value above it; None: of none of them.

        >>> read_document("seed: 1\\ngates:\\n- {name: floor}").line_of(["gates", 0, "name"])
        3
        """
        node, line = self.root, None
        for key in keys:
            if isinstance(node, yaml.MappingNode) and (inner := [pair for pair in node.value if pair[0].value == key]):
                line, node = _line(inner[0][0]), inner[0][1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
                node = node.value[key]
                line = _line(node)
        return line


def read_yaml(text: str) -> Any:
    """Return the plain data in a YAML document, never Python objects.

    >>> read_yaml("{mode: off, on: all, control: true}")
    {'mode': 'off', 'on': 'all', 'control': True}

    Raises:
        ConfigError: the text is not valid YAML, or says something twice; the message names the line.
    """
    return read_document(text).data


def read_document(text: str) -> Document:
    """Return the plain data in a YAML document with the lines of its values.

    Raises:
        ConfigError: the text is not valid YAML, or says something twice; the message names the line.
    """
    try:
        loader = PlainLoader(text)
        root = loader.get_single_node()
        return Document(None if root is None else loader.construct_document(root), root)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"line {line}: is not YAML: a character that is not allowed; remove it") from None
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        # the text itself may hold a secret: neither the line nor a quoted word of it is shown
        problem = ": ".join(filter(None, (error.context, error.problem)))
        problem = re.sub(r"'[^'<\s]{3,}'", "'...'", problem)
        line = mark.line + 1 if mark is not None else 1
        raise ConfigError(f"line {line}: is not YAML: {problem}; quote text that holds special characters") from None


def read_yaml_file(path: Path, *, missing: str = "no such file") -> Document:
    """Return what a YAML file that a person wrote says.

    Args:
        path: the file.
        missing: what the message says where there is none.

    Raises:
        ConfigError: it cannot be read, is not valid YAML, or says something twice; the message names file and line.
    """
    try:
        return read_document(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: {missing}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or type(error).__name__}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}: line {line}: is not UTF-8; save it in that encoding") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _line(node: yaml.Node | yaml.Event) -> int:
    return 1 if node.start_mark is None else int(node.start_mark.line) + 1


def _refuse(node: yaml.Node | yaml.Event, problem: str) -> NoReturn:
    raise ConfigError(f"line {_line(node)}: {problem}")
