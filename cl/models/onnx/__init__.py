"""Encoders exported to ONNX."""
