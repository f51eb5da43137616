"""The program behind export.run.tensorflow_converter: DIR/model.onnx and DIR/images.npy (NHWC) to DIR/int8.tflite.

It runs in a process of its own and imports nothing of ours.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def main(work: Path) -> None:
    """Convert with onnx2tf, then with TensorFlow's converter; full int8, input and output included."""
    import onnx2tf
    import tensorflow as tf

    saved = str(work / "saved")
    onnx2tf.convert(input_onnx_file_path=str(work / "model.onnx"), output_folder_path=saved, non_verbose=True)
    images = np.load(work / "images.npy")
    converter = tf.lite.TFLiteConverter.from_saved_model(saved)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (work / "int8.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
