"""Float ONNX to the same function in other forms."""
