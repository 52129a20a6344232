"""Versions that answer through ONNX, made once."""

from tests.support.onnx_versions import in_onnx, in_onnx_int8, plain  # noqa: F401
