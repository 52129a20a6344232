"""What a version may be derived as."""

from __future__ import annotations

from typing import Literal

Form = Literal["student", "int8", "onnx", "onnx-int8"]
FORMS: tuple[Form, ...] = ("student", "int8", "onnx", "onnx-int8")
"""All of them, in the order in which they are tried."""
REWRITTEN: frozenset[str] = frozenset({"int8", "onnx", "onnx-int8"})
"""Forms that know what their teacher knows, its weights written down otherwise: what learns on is the teacher."""
TOLERANCE, TOLERANCE_INT8 = 1e-3, 0.1
"""How far a probability may differ when a version is asked again, or through a graph: other rows in a batch change
the last digits of a sum, and no more. In int8 these digits decide here and there how a state is rounded: on CLINC150
by 0.03 at most, in the mean over rows by 0.0004, where int8 and floats are 0.12 and 0.004 apart."""
