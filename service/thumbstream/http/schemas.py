"""JSON documents that the service sends and reads, with examples for the OpenAPI page."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from thumbstream.codec.bitstream import parse_header
from thumbstream.codec.rate_curve import RateCurve
from thumbstream.encoding import PREVIEW_BYTES
from thumbstream.http.hot_path import TIERS
from thumbstream.ids import ID_PATTERN
from thumbstream.models import DEFAULT_MODEL
from thumbstream.pipeline import Receipt

MAX_TOTAL_BYTES = 999_999_999
"""Of a page's budget: far above what any page shows."""

_ID = "q0Zr2vYx3m1Ck7Ht5sNwAQ"
_OTHER_ID = "3fRkL0d1UO4mJv2kRr0a7w"


class Compressed(BaseModel):
    """What became of an upload."""

    id: str = Field(description="Content id of the stream: 22 base64url characters.")
    length: int = Field(description="Bytes of the whole stream.")
    width: int = Field(description="Pixels of the upright original.")
    height: int = Field(description="Pixels of the upright original.")
    thumb_width: int = Field(description="Pixels of the thumbnail grid.")
    thumb_height: int = Field(description="Pixels of the thumbnail grid.")
    alpha: bool = Field(description="Whether the stream codes transparency.")
    aspect_ratio: tuple[int, int] = Field(
        description="Width to height as the stream tells it to who holds nothing else: exact where "
        "its header names a ratio, else that of the grid."
    )
    model: str = Field(description="The model that made the stream.")
    url: str = Field(description="Path of the stream; add ?bytes=N for a prefix.")
    tiers: dict[str, str] = Field(
        description="Byte count to path without a query: those shorter than the stream, and the "
        "first that holds all of it."
    )
    preview: str = Field(description=f"Base64 of the first {PREVIEW_BYTES} bytes.")
    curve: list[tuple[int, float, float]] | None = Field(
        description="What prefixes are worth: [bytes, SSIM, PSNR in dB] of each that was measured, "
        "the whole stream last. Null where the service measures none."
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _ID,
                    "length": 160,
                    "width": 768,
                    "height": 512,
                    "thumb_width": 32,
                    "thumb_height": 21,
                    "alpha": False,
                    "aspect_ratio": [3, 2],
                    "model": DEFAULT_MODEL,
                    "url": f"/thumb/{_ID}",
                    "tiers": {str(tier): f"/t/{_ID}/{tier}" for tier in TIERS[:5]},
                    "preview": "F3qL0d1UO3mJv2kRr0a7cQ2nYb6WlE8sTg9XhZ4uKiM=",
                    "curve": [[4, 0.1592, 17.95], [34, 0.6287, 22.32], [160, 0.8132, 25.48]],
                }
            ]
        }
    )


def _whole(value: object) -> object:
    """JSON knows one kind of number: 128.0 is as good as 128."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class BudgetRequest(BaseModel):
    """A page and the bytes that its thumbnails may take."""

    ids: list[Annotated[str, Field(pattern=f"^{ID_PATTERN.pattern}$")]] = Field(
        min_length=1, description="The streams that the page shows, repeats included."
    )
    total_bytes: Annotated[int, BeforeValidator(_whole)] = Field(
        ge=1, le=MAX_TOTAL_BYTES, description="Of streams, for all together."
    )
    measure: Literal["ssim", "psnr"] = Field(
        "ssim", description="The quality whose sum is to be highest."
    )

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={"examples": [{"ids": [_ID, _OTHER_ID], "total_bytes": 128}]},
    )


class BudgetShare(BaseModel):
    """What one picture gets."""

    bytes: int
    quality: float = Field(description="Expected quality of so many bytes; 0 of none.")


class EqualShares(BaseModel):
    """The yardstick: one `bytes=` for all."""

    bytes_each: int = Field(description="The highest that keeps the page within the budget.")
    mean: float = Field(description="Expected mean quality of the page.")


class PageBudget(BaseModel):
    """How to spend a page's bytes."""

    measure: str
    total_bytes: int
    used_bytes: int
    mean: float = Field(description="Expected mean quality over the places of the page.")
    equal_shares: EqualShares
    gain: float = Field(description="`mean` above that of equal shares; never below 0.")
    thumbs: dict[str, BudgetShare] = Field(description="Id to share.")
    urls: list[str] = Field(description="Paths that bring exactly these bytes.")
    unknown: list[str] = Field(description="Ids of no stream.")
    without_curve: list[str] = Field(description="Ids of streams whose curve was never measured.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "measure": "ssim",
                    "total_bytes": 128,
                    "used_bytes": 125,
                    "mean": 0.7508,
                    "equal_shares": {"bytes_each": 64, "mean": 0.7443},
                    "gain": 0.0065,
                    "thumbs": {
                        _ID: {"bytes": 57, "quality": 0.7658},
                        _OTHER_ID: {"bytes": 68, "quality": 0.7357},
                    },
                    "urls": [f"/thumbs?ids={_ID}:57,{_OTHER_ID}:68"],
                    "unknown": [],
                    "without_curve": [],
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
    key, encoded = receipt.key, receipt.encoded
    length = len(encoded.stream)
    whole = next((tier for tier in TIERS if tier >= length), None)
    tiers = [tier for tier in TIERS if tier < length or tier == whole]
    return Compressed(
        id=key,
        length=length,
        width=encoded.width,
        height=encoded.height,
        thumb_width=encoded.thumb_width,
        thumb_height=encoded.thumb_height,
        alpha=encoded.alpha,
        aspect_ratio=parse_header(encoded.stream).aspect,
        model=receipt.model,
        url=f"/thumb/{key}",
        tiers={str(tier): f"/t/{key}/{tier}" for tier in tiers},
        preview=base64.b64encode(encoded.stream[:PREVIEW_BYTES]).decode("ascii"),
        curve=None if encoded.curve is None else _rows(encoded.curve),
    )


def _rows(curve: RateCurve) -> list[tuple[int, float, float]]:
    measured = zip(curve.lengths, curve.ssim, curve.psnr, strict=True)
    return [(length, round(ssim, 4), round(psnr, 2)) for length, ssim, psnr in measured]
