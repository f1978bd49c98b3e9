"""Training, export and measurement of thumbstream's networks (PyTorch).

The service never imports this package; the interface is the model folder
(docs/model-folder.md).

- `training`: configuration, pictures, loop, checkpoints, ONNX export, writer of model folders
- `evaluate`: rate and distortion of codecs, tables and plots
- `paper`: the systems of arXiv 1511.06085
- `lapped`: the default codec

Imports go from the last of these to the first.
"""
