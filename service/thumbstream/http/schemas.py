"""Query parameters, request bodies and JSON responses of the FastAPI routes, with OpenAPI texts."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from thumbstream.codec.bitstream import MAX_LONG_SIDE, MIN_LONG_SIDE, SIDE_MULTIPLE, parse_header
from thumbstream.codec.effort import Effort
from thumbstream.codec.rate_curve import RateCurve
from thumbstream.encoding import INLINE_PREFIX_BYTES
from thumbstream.http.openapi import EXAMPLE_ID
from thumbstream.http.query import COUNT, MAX_BYTES, PREFIX_SIZES
from thumbstream.http.uploads import FORM_PARTS
from thumbstream.ids import ID_PATTERN
from thumbstream.images import Alpha
from thumbstream.images.write import PictureFormat
from thumbstream.models import DEFAULT_MODEL
from thumbstream.pipeline import CompressResult
from thumbstream.storage import check_label
from thumbstream.storage.base import MAX_LABEL_BYTES, PAGE_SIZE

MAX_SCALE = 16

MAX_TOTAL_BYTES = 999_999_999
"""Highest budget of one page, in bytes: far above the needs of any page."""

TARGET_PATTERN = (
    r"^(ssim:(0\.[0-9]*[1-9][0-9]*|1)|psnr:([1-9][0-9]?(\.[0-9]+)?|100)|bytes:[1-9][0-9]{0,5})$"
)
"""Pattern of the parameter ``target`` in OpenAPI only: `Target.parse` validates the value."""


def _plain_digits(value: object) -> object:
    # Pydantic would read "+8", " 8", "08" and "8.0" as well. 0 is left to the bounds.
    if isinstance(value, str) and value != "0" and COUNT.fullmatch(value) is None:
        raise ValueError("expected an integer of at most six digits, without sign or leading zeros")
    return value


_PlainDigits = BeforeValidator(_plain_digits)
"""Stands after the bounds: otherwise OpenAPI would not show them."""

Size = Annotated[
    int | None,
    Query(
        ge=MIN_LONG_SIDE,
        le=MAX_LONG_SIDE,
        multiple_of=SIDE_MULTIPLE,
        description="Long side of the thumbnail in pixels; default: the service's setting.",
    ),
    _PlainDigits,
]
MaxBytes = Annotated[
    int | None, Query(ge=1, le=MAX_BYTES, description="Limit of the stream's length."), _PlainDigits
]
Model = Annotated[
    str | None, Query(min_length=1, max_length=64, description="A model of GET /models.")
]
Transparency = Annotated[
    Alpha,
    Query(
        description="`keep`: transparency is coded, if the model can. `flatten`, or other models: "
        "the picture is composited over white."
    ),
]
EncodeEffort = Annotated[
    Effort | None,
    Query(
        description="`fast`: without a network; `best`: several times the work for better pictures "
        "in the same bytes; if the model can do that."
    ),
]
Target = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=32,
        examples=["ssim:0.85"],
        json_schema_extra={"pattern": TARGET_PATTERN},
        description="`ssim:0.85` or `psnr:28` (dB): store the shortest prefix that reaches it, as "
        "measured by decoding; `bytes:64`: store the best stream of at most 64 bytes.",
    ),
]
Bytes = Annotated[
    int,
    Query(alias="bytes", ge=1, le=MAX_BYTES, description="Decode only the first bytes."),
    _PlainDigits,
]
Format = Annotated[
    PictureFormat | None,
    Query(alias="format", description="Default: by the Accept field, else PNG."),
]
Scale = Annotated[
    int,
    Query(ge=1, le=MAX_SCALE, description="Factor by which the sides are enlarged."),
    _PlainDigits,
]
Id = Annotated[
    str,
    # The pattern is documentation only: what is not an id is 404, as an unknown id is.
    Path(
        alias="id",
        examples=[EXAMPLE_ID],
        json_schema_extra={"pattern": f"^{ID_PATTERN.pattern}$"},
    ),
]

_LABEL_TEXT = f"Printable text of at most {MAX_LABEL_BYTES} bytes, such as the id of a product."
UploadLabel = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=MAX_LABEL_BYTES,
        description=f"A name of your own, to find and delete the stream by. {_LABEL_TEXT}",
    ),
    AfterValidator(lambda label: None if label is None else check_label(label)),
]
LabelQuery = Annotated[
    str,
    Query(min_length=1, max_length=MAX_LABEL_BYTES, description=_LABEL_TEXT),
    AfterValidator(check_label),
]
After = Annotated[
    str,
    Query(max_length=64, description="Only streams with ids after this one: see `next`."),
]
Limit = Annotated[
    int, Query(ge=1, le=PAGE_SIZE, description="Most streams in the response."), _PlainDigits
]

_OTHER_ID = "3fRkL0d1UO4mJv2kRr0a7w"


class CompressResponse(BaseModel):
    """Response of POST /compress."""

    id: str = Field(description="Content id of the stream: 22 base64url characters.")
    length: int = Field(description="Bytes of the stream.")
    width: int = Field(description="Pixels of the upright original.")
    height: int = Field(description="Pixels of the upright original.")
    thumb_width: int = Field(description="Pixels of the thumbnail.")
    thumb_height: int = Field(description="Pixels of the thumbnail.")
    alpha: bool = Field(description="Whether the stream codes transparency.")
    truncated: bool = Field(
        description="Whether the end of the picture file was missing; that part is grey, black or "
        "blurred."
    )
    aspect_ratio: tuple[int, int] = Field(
        description="Width and height as encoded in the stream's header: exact if it has a ratio, "
        "else that of the thumbnail."
    )
    model: str = Field(description="The model that made the stream.")
    url: str = Field(description="Path of the stream; add ?bytes=N for a prefix.")
    prefix_urls: dict[str, str] = Field(
        description="Byte count to path without a query: the sizes shorter than the stream, and "
        "the first that holds all of it."
    )
    prefix_base64: str = Field(description=f"Base64 of the first {INLINE_PREFIX_BYTES} bytes.")
    curve: list[tuple[int, float, float]] | None = Field(
        description="Rate-distortion curve: [bytes, SSIM, PSNR in dB] of each measured prefix, the "
        "full stream last. Null if the service measures none."
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": EXAMPLE_ID,
                    "length": 160,
                    "width": 768,
                    "height": 512,
                    "thumb_width": 32,
                    "thumb_height": 21,
                    "alpha": False,
                    "truncated": False,
                    "aspect_ratio": [3, 2],
                    "model": DEFAULT_MODEL,
                    "url": f"/thumb/{EXAMPLE_ID}",
                    "prefix_urls": {str(n): f"/t/{EXAMPLE_ID}/{n}" for n in PREFIX_SIZES[:5]},
                    "prefix_base64": "F3qL0d1UO3mJv2kRr0a7cQ2nYb6WlE8sTg9XhZ4uKiM=",
                    "curve": [[4, 0.1592, 17.95], [34, 0.6287, 22.32], [160, 0.8132, 25.48]],
                }
            ]
        }
    )


def _integral(value: object) -> object:
    """Converts 128.0 to the int 128: JSON does not distinguish integers from floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class BudgetRequest(BaseModel):
    """Request of POST /budget: the thumbnails of a page, and a limit on their total bytes."""

    ids: list[Annotated[str, Field(pattern=f"^{ID_PATTERN.pattern}$")]] = Field(
        min_length=1, description="The streams that the page shows, repeats included."
    )
    total_bytes: Annotated[int, BeforeValidator(_integral)] = Field(
        ge=1, le=MAX_TOTAL_BYTES, description="Limit of the page: bytes of all streams together."
    )
    measure: Literal["ssim", "psnr"] = Field(
        "ssim", description="The quality whose sum is maximized."
    )

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={"examples": [{"ids": [EXAMPLE_ID, _OTHER_ID], "total_bytes": 128}]},
    )


class BudgetShare(BaseModel):
    """How many bytes one picture gets, and the quality expected of that prefix."""

    bytes: int
    quality: float = Field(description="Expected quality of this prefix; 0 for 0 bytes.")


class UniformAllocation(BaseModel):
    """The baseline of a budget: the same limit `bytes=` for every picture."""

    bytes_each: int = Field(description="The highest `bytes=` within the budget.")
    mean: float = Field(description="Expected mean quality of the page.")


class PageBudget(BaseModel):
    """Response of POST /budget."""

    measure: str
    total_bytes: int
    used_bytes: int
    mean: float = Field(description="Expected mean quality over the pictures of the page.")
    uniform: UniformAllocation
    gain: float = Field(description="`mean` minus that of `uniform`; never below 0.")
    thumbs: dict[str, BudgetShare] = Field(description="Id to bytes and quality.")
    urls: list[str] = Field(description="Paths that return exactly these bytes.")
    unknown: list[str] = Field(description="Ids without a stream.")
    without_curve: list[str] = Field(description="Ids of streams without a curve.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "measure": "ssim",
                    "total_bytes": 128,
                    "used_bytes": 125,
                    "mean": 0.7508,
                    "uniform": {"bytes_each": 64, "mean": 0.7443},
                    "gain": 0.0065,
                    "thumbs": {
                        EXAMPLE_ID: {"bytes": 57, "quality": 0.7658},
                        _OTHER_ID: {"bytes": 68, "quality": 0.7357},
                    },
                    "urls": [f"/thumbs?ids={EXAMPLE_ID}:57,{_OTHER_ID}:68"],
                    "unknown": [],
                    "without_curve": [],
                }
            ]
        }
    )


class StreamDescription(BaseModel):
    """A stored stream: response of GET /streams/{id}."""

    id: str
    length: int = Field(description="Bytes of the stream.")
    created: str | None = Field(
        description="Time of the first upload (RFC 3339); null if an earlier version stored it."
    )
    expires: str | None = Field(description="Time at which it is deleted; null: never.")
    labels: list[str] = Field(description="The labels of all its uploads.")
    url: str


class StreamList(BaseModel):
    """Response of GET /streams."""

    label: str
    streams: list[StreamDescription]
    next: str | None = Field(description="Path of the next page; null if this is the last one.")


class LabelDeletion(BaseModel):
    """Response of DELETE /streams."""

    label: str
    deleted: list[str] = Field(description="Ids of deleted streams: purge them from your CDN.")
    more: bool = Field(description="Whether to repeat the request.")


class ModelList(BaseModel):
    """Response of GET /models."""

    default: str
    models: list[dict[str, Any]] = Field(
        description="Each model's manifest: sizes, files, measured rate and distortion."
    )


class Health(BaseModel):
    """Response of GET /healthz."""

    status: str = "ok"


class ReadyResponse(BaseModel):
    """Response of GET /readyz."""

    status: str = "ready"
    store: str
    models: list[str]


class ProblemDocument(BaseModel):
    """JSON body of an error response (RFC 9457). Programs branch on ``code``."""

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


def compress_response(result: CompressResult, root_path: str) -> CompressResponse:
    """Builds the response to an upload; its URL paths begin with ``root_path``."""
    key, encoded = result.id, result.encoded
    length = len(encoded.stream)
    complete = next((size for size in PREFIX_SIZES if size >= length), None)
    sizes = [size for size in PREFIX_SIZES if size < length or size == complete]
    return CompressResponse(
        id=key,
        length=length,
        width=encoded.width,
        height=encoded.height,
        thumb_width=encoded.thumb_width,
        thumb_height=encoded.thumb_height,
        alpha=encoded.alpha,
        truncated=encoded.truncated,
        aspect_ratio=parse_header(encoded.stream).aspect,
        model=result.model,
        url=f"{root_path}/thumb/{key}",
        prefix_urls={str(size): f"{root_path}/t/{key}/{size}" for size in sizes},
        prefix_base64=base64.b64encode(encoded.stream[:INLINE_PREFIX_BYTES]).decode("ascii"),
        curve=None if encoded.curve is None else _rows(encoded.curve),
    )


def _rows(curve: RateCurve) -> list[tuple[int, float, float]]:
    measured = zip(curve.lengths, curve.ssim, curve.psnr, strict=True)
    return [(length, round(ssim, 4), round(psnr, 2)) for length, ssim, psnr in measured]


_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary", "minLength": 1}}
PICTURE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": _BINARY,
            "application/octet-stream": _BINARY,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": _BINARY["schema"]},
                    "maxProperties": FORM_PARTS - 1,
                }
            },
        },
    }
}
STREAM_BODY = {
    "requestBody": {"required": True, "content": {"application/vnd.thumbstream": _BINARY}}
}
BUDGET_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": BudgetRequest.model_json_schema()}},
    }
}
PREVIEW: dict[str, Any] = {
    "description": "The picture.",
    "content": {
        "image/png": _BINARY,
        "image/webp": _BINARY,
        "text/plain": {"example": "data:image/png;base64,iVBORw0KGgo"},
    },
}
METRICS: dict[str, Any] = {
    "description": "The metrics.",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}
