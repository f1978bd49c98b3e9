"""Training, export and measurement of thumbstream's networks (PyTorch).

The service never imports this package: the two meet in ``models/zoo/<model-id>/`` only.
"""
