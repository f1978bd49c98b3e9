"""Parameters and bodies of the FastAPI routes, as they are checked and as OpenAPI tells them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query

from thumbstream.codec.bitstream import MAX_LONG_SIDE, MIN_LONG_SIDE, SIDE_STEP
from thumbstream.http.asked import MAX_BYTES
from thumbstream.http.openapi import EXAMPLE_ID
from thumbstream.http.schemas import BudgetRequest
from thumbstream.ingest import Alpha
from thumbstream.pictures import PictureFormat

MAX_SCALE = 16

Size = Annotated[
    int | None,
    Query(
        ge=MIN_LONG_SIDE,
        le=MAX_LONG_SIDE,
        multiple_of=SIDE_STEP,
        description="Long side of the thumbnail grid in pixels; default: the service's setting.",
    ),
]
MaxBytes = Annotated[
    int | None, Query(ge=1, le=MAX_BYTES, description="Keep at most so many bytes of the stream.")
]
Model = Annotated[
    str | None, Query(min_length=1, max_length=64, description="A model of GET /models.")
]
Transparency = Annotated[
    Alpha,
    Query(
        description="`keep`: coded where the picture has some and the model can. `flatten`, and "
        "with a model that cannot: composited over white."
    ),
]
Target = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=32,
        examples=["ssim:0.85"],
        description="Keep the shortest prefix that reaches `ssim:0.85` or `psnr:28` (dB), as "
        "measured by decoding it; or `bytes:64`, the best stream of so many bytes.",
    ),
]
Bytes = Annotated[
    int, Query(alias="bytes", ge=1, le=MAX_BYTES, description="Decode only so many bytes.")
]
Format = Annotated[
    PictureFormat | None,
    Query(alias="format", description="Without it, the Accept field decides; else PNG."),
]
Scale = Annotated[int, Query(ge=1, le=MAX_SCALE, description="Enlarge the sides so many times.")]
Id = Annotated[str, Path(alias="id", examples=[EXAMPLE_ID])]

_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
PICTURE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": _BINARY,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": _BINARY["schema"]},
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
