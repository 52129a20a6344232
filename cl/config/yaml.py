"""YAML as people mean it: `on` and `off` are words, true and false are truth values (YAML 1.2's core schema)."""

from __future__ import annotations

import re
from typing import Any

import yaml

TRUTH = "tag:yaml.org,2002:bool"


class PlainLoader(yaml.SafeLoader):
    """The safe loader without YAML 1.1's other words for truth: yes, no, on and off."""


PlainLoader.yaml_implicit_resolvers = {
    first: [one for one in resolvers if one[0] != TRUTH]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
PlainLoader.add_implicit_resolver(TRUTH, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def read_yaml(text: str) -> Any:
    """Return what a YAML document holds: plain data, never objects of Python.

    >>> read_yaml("{mode: off, on: all, control: true}")
    {'mode': 'off', 'on': 'all', 'control': True}

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    return yaml.load(text, Loader=PlainLoader)
