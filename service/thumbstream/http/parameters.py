"""Parameters and bodies of the FastAPI routes, as they are checked and as OpenAPI tells them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query

from thumbstream.codec.bitstream import MAX_LONG_SIDE, MIN_LONG_SIDE, SIDE_MULTIPLE
from thumbstream.http.openapi import EXAMPLE_ID
from thumbstream.http.query import MAX_BYTES
from thumbstream.http.schemas import BudgetRequest
from thumbstream.http.uploads import FORM_FIELDS
from thumbstream.ids import ID_PATTERN
from thumbstream.images import Alpha
from thumbstream.images.write import PictureFormat

MAX_SCALE = 16

TARGET_PATTERN = (
    r"^(ssim:(0\.[0-9]*[1-9][0-9]*|1)|psnr:([1-9][0-9]?(\.[0-9]+)?|100)|bytes:[1-9][0-9]{0,5})$"
)
"""How a target is best written. Told, not checked: `codec.targets` says what is wrong."""

Size = Annotated[
    int | None,
    Query(
        ge=MIN_LONG_SIDE,
        le=MAX_LONG_SIDE,
        multiple_of=SIDE_MULTIPLE,
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
        json_schema_extra={"pattern": TARGET_PATTERN},
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
Id = Annotated[
    str,
    # Told, not checked: what is no id is no stream's, and so not found.
    Path(
        alias="id",
        examples=[EXAMPLE_ID],
        json_schema_extra={"pattern": f"^{ID_PATTERN.pattern}$"},
    ),
]

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
                    "maxProperties": 1 + FORM_FIELDS,
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
    "description": "The counters.",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}
