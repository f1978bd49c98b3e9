"""JSON documents that the service sends, with examples for the OpenAPI page."""

from __future__ import annotations

import base64
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from thumbstream.hotpath import TIERS
from thumbstream.pipeline import Receipt

PREVIEW_BYTES = 32
"""The prefix that an upload's answer carries, to be inlined where the picture is listed."""

_ID = "q0Zr2vYx3m1Ck7Ht5sNwAQ"


class Compressed(BaseModel):
    """What became of an upload."""

    id: str = Field(description="Content id of the stream: 22 base64url characters.")
    length: int = Field(description="Bytes of the whole stream.")
    width: int = Field(description="Pixels of the upright original.")
    height: int = Field(description="Pixels of the upright original.")
    thumb_width: int = Field(description="Pixels of the thumbnail grid.")
    thumb_height: int = Field(description="Pixels of the thumbnail grid.")
    model: str = Field(description="The model that made the stream.")
    url: str = Field(description="Path of the stream; add ?bytes=N for a prefix.")
    tiers: dict[str, str] = Field(
        description="Byte count to path without a query: those shorter than the stream, and the "
        "first that holds all of it."
    )
    preview: str = Field(description=f"Base64 of the first {PREVIEW_BYTES} bytes.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _ID,
                    "length": 231,
                    "width": 4032,
                    "height": 3024,
                    "thumb_width": 32,
                    "thumb_height": 24,
                    "model": "conv-lstm-1",
                    "url": f"/thumb/{_ID}",
                    "tiers": {str(tier): f"/t/{_ID}/{tier}" for tier in TIERS[:5]},
                    "preview": "F3qL0d1UO3mJv2kRr0a7cQ2nYb6WlE8sTg9XhZ4uKiM=",
                }
            ]
        }
    )


class ModelList(BaseModel):
    """The models that uploads may name."""

    default: str
    models: list[dict[str, Any]] = Field(
        description="Each model's manifest: sizes, files, measured rate and distortion."
    )


class Health(BaseModel):
    """The process answers."""

    status: str = "ok"


class Ready(BaseModel):
    """The process can do its work."""

    status: str = "ready"
    store: str
    models: list[str]


class ProblemDocument(BaseModel):
    """An error (RFC 9457). Programs branch on ``code``."""

    type: str
    title: str
    status: int
    code: str
    detail: str

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:thumbstream:problem:too_many_pixels",
                    "title": "Unprocessable Entity",
                    "status": 422,
                    "code": "too_many_pixels",
                    "detail": "the picture has more pixels than are accepted",
                }
            ]
        }
    )


def compressed(receipt: Receipt) -> Compressed:
    """The answer to an upload."""
    key, drawn = receipt.key, receipt.drawn
    length = len(drawn.stream)
    whole = next((tier for tier in TIERS if tier >= length), None)
    tiers = [tier for tier in TIERS if tier < length or tier == whole]
    return Compressed(
        id=key,
        length=length,
        width=drawn.width,
        height=drawn.height,
        thumb_width=drawn.thumb_width,
        thumb_height=drawn.thumb_height,
        model=receipt.model,
        url=f"/thumb/{key}",
        tiers={str(tier): f"/t/{key}/{tier}" for tier in tiers},
        preview=base64.b64encode(drawn.stream[:PREVIEW_BYTES]).decode("ascii"),
    )
