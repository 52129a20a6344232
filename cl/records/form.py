"""What a version may be derived as."""

from __future__ import annotations

from typing import Literal

Form = Literal["student", "int8", "onnx", "onnx-int8"]
FORMS: tuple[Form, ...] = ("student", "int8", "onnx", "onnx-int8")
"""All of them, in the order in which they are tried."""
REWRITTEN: frozenset[str] = frozenset({"int8", "onnx", "onnx-int8"})
"""Forms that know what their teacher knows, its weights written down otherwise: what learns on is the teacher."""
