"""YAML with booleans as in YAML 1.2's core schema: `on`, `off`, `yes` and `no` are strings."""

from __future__ import annotations

import re
from typing import Any

import yaml

TRUTH = "tag:yaml.org,2002:bool"


class PlainLoader(yaml.SafeLoader):
    """The safe loader without YAML 1.1's other booleans: yes, no, on and off."""


PlainLoader.yaml_implicit_resolvers = {
    first: [resolver for resolver in resolvers if resolver[0] != TRUTH]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
PlainLoader.add_implicit_resolver(TRUTH, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def read_yaml(text: str) -> Any:
    """Return the plain data in a YAML document, never Python objects.

    >>> read_yaml("{mode: off, on: all, control: true}")
    {'mode': 'off', 'on': 'all', 'control': True}

    Raises:
        yaml.YAMLError: the text is not valid YAML.
    """
    return yaml.load(text, Loader=PlainLoader)
