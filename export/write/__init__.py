"""Graphs and torch modules to files: ONNX, TFLite, C."""
