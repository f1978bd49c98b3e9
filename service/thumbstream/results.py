"""Pickles of what a worker process returns, read without calling anything but expected classes.

A decoder with a fault may let a picture run code in the worker, which then sends any bytes. An
ordinary `pickle.loads` of these bytes could run code in the service.
"""

from __future__ import annotations

import builtins
import dataclasses
import io
import pickle
import pickletools
from collections.abc import Set
from typing import Any

from thumbstream import errors

ERRORS = frozenset(
    item
    for module in (errors, builtins)
    for item in vars(module).values()
    if isinstance(item, type) and issubclass(item, errors.ThumbstreamError | OSError)
)
"""The exceptions of `thumbstream.errors`, and `OSError` with its built-in subclasses."""

_OPCODES = frozenset(
    {
        "PROTO",
        "FRAME",
        "STOP",
        "MARK",
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "BINFLOAT",
        "SHORT_BINUNICODE",
        "BINUNICODE",
        "SHORT_BINBYTES",
        "BINBYTES",
        "EMPTY_LIST",
        "APPEND",
        "APPENDS",
        "EMPTY_TUPLE",
        "TUPLE",
        "TUPLE1",
        "TUPLE2",
        "TUPLE3",
        "EMPTY_DICT",
        "SETITEM",
        "SETITEMS",
        "STACK_GLOBAL",
        "NEWOBJ",
        "REDUCE",
    }
)
"""The instructions of a tree of values. Without the memo, a short pickle cannot stand for an
endless object; without BUILD, it cannot change a class."""


class _Pickler(pickle.Pickler):
    """Pickles dataclasses and exceptions as calls of their class."""

    def reducer_override(self, item: Any) -> Any:
        if isinstance(item, BaseException):
            return item.__reduce__()[:2]  # without the attributes that are not arguments
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            values = tuple(getattr(item, field.name) for field in dataclasses.fields(item))
            return type(item), values
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def __init__(self, message: bytes, classes: Set[type]) -> None:
        super().__init__(io.BytesIO(message))
        self._classes = {(item.__module__, item.__qualname__): item for item in classes}

    def find_class(self, module: str, name: str) -> type:
        try:
            return self._classes[module, name]
        except KeyError:
            raise ValueError(f"unexpected class {module}.{name}"[:200]) from None


def dumps(answer: tuple[bool, Any]) -> bytes:
    """Pickle the result of a job, or its exception after False, for `loads`."""
    out = io.BytesIO()
    pickler = _Pickler(out, protocol=4)
    pickler.fast = True  # without the memo, which `loads` rejects
    pickler.dump(answer)
    return out.getvalue()


def loads(message: bytes, classes: Set[type]) -> tuple[bool, Any]:
    """Return what was given to `dumps`. Instances may be of ``classes`` and `RuntimeError` only.

    Raises `ValueError` for anything else; calls nothing but constructors of these classes.
    """
    try:
        for opcode, _, _ in pickletools.genops(message):
            if opcode.name not in _OPCODES:
                raise ValueError(f"unexpected instruction {opcode.name}")
        succeeded, result = _Unpickler(message, classes | {RuntimeError}).load()
    except Exception as error:  # constructors raise any exception for wrong arguments
        raise ValueError(str(error)[:200]) from None
    if succeeded is not True and not isinstance(result, Exception):
        raise ValueError("neither a result nor an exception")
    return succeeded is True, result
