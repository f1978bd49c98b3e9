"""Clients of the HTTP service: `Client`, and `AsyncClient` for asyncio.

>>> from thumbstream.client import Client
>>> with Client("http://127.0.0.1:8000") as client:
...     thumbnail = client.compress("photo.jpg")
...     prefix = client.thumb(thumbnail.id, bytes=64)

Needs httpx: ``pip install 'thumbstream[client]'``. docs/python-client.md describes all methods.
"""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("httpx") is None:
    raise ImportError(
        "thumbstream.client needs httpx: pip install 'thumbstream[client]', or in a checkout "
        "pip install -e '.[client]'"
    )

from thumbstream.client.errors import ClientError, ServiceError, UnreachableError
from thumbstream.client.results import (
    BudgetShare,
    CurvePoint,
    LabelDeletion,
    PageBudget,
    StoredThumbnail,
    StreamDescription,
    StreamPage,
    UniformAllocation,
)
from thumbstream.client.retries import RetryPolicy
from thumbstream.client.senders import AsyncClient, Client

__all__ = [
    "AsyncClient",
    "BudgetShare",
    "Client",
    "ClientError",
    "CurvePoint",
    "LabelDeletion",
    "PageBudget",
    "RetryPolicy",
    "ServiceError",
    "StoredThumbnail",
    "StreamDescription",
    "StreamPage",
    "UniformAllocation",
    "UnreachableError",
]
