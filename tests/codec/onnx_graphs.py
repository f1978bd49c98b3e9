"""ONNX graphs of a few operators, written as protocol buffers: the tests do without ``onnx``.

Fields and numbers: onnx.proto of ONNX 1.16 (IR version 9). ``tests/models/test_onnx_graphs.py``
checks the result with ``onnx.checker``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

IR_VERSION = 9
OPSET = 20
_TYPES = {np.dtype(np.float32): 1, np.dtype(np.int64): 7}
_INT, _INTS = 2, 7


def node(
    operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: object
) -> bytes:
    """A NodeProto; attributes are integers or lists of integers."""
    return b"".join(
        [
            *(_text(1, name) for name in inputs),
            *(_text(2, name) for name in outputs),
            _text(4, operator),
            *(_bytes(5, _attribute(name, value)) for name, value in attributes.items()),
        ]
    )


def value(name: str, shape: Sequence[str | int]) -> bytes:
    """A ValueInfoProto of float32; texts are names of dimensions."""
    dimensions = b"".join(
        _bytes(1, _text(2, size) if isinstance(size, str) else _integer(1, size)) for size in shape
    )
    tensor = _integer(1, _TYPES[np.dtype(np.float32)]) + _bytes(2, dimensions)
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def image(name: str, channels: int) -> bytes:
    """A value of shape (batch, channels, height, width)."""
    return value(name, ["batch", channels, f"{name}_h", f"{name}_w"])


def model(
    nodes: Sequence[bytes],
    inputs: Sequence[bytes],
    outputs: Sequence[bytes],
    constants: Mapping[str, NDArray[np.float32] | NDArray[np.int64]],
) -> bytes:
    """A ModelProto; ``constants`` become initializers."""
    graph = b"".join(
        [
            *(_bytes(1, one) for one in nodes),
            _text(2, "step"),
            *(_bytes(5, _tensor(name, array)) for name, array in constants.items()),
            *(_bytes(11, one) for one in inputs),
            *(_bytes(12, one) for one in outputs),
        ]
    )
    opset = _text(1, "") + _integer(2, OPSET)
    return _integer(1, IR_VERSION) + _text(2, "tests") + _bytes(7, graph) + _bytes(8, opset)


def _attribute(name: str, value: object) -> bytes:
    if isinstance(value, int):
        return _text(1, name) + _integer(3, value) + _integer(20, _INT)
    assert isinstance(value, list)
    return _text(1, name) + b"".join(_integer(8, one) for one in value) + _integer(20, _INTS)


def _tensor(name: str, array: NDArray[np.float32] | NDArray[np.int64]) -> bytes:
    dimensions = b"".join(_integer(1, size) for size in array.shape)
    data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    return dimensions + _integer(2, _TYPES[array.dtype]) + _text(8, name) + _bytes(9, data)


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
