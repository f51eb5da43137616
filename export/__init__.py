"""From a trained torch module to files that a device runs: ONNX, int8 rules, TFLite, runners. Does not know flatnas."""
