"""The parts of the OpenAPI document that FastAPI cannot derive: `HotPath` and bearer tokens."""

from __future__ import annotations

from typing import Any

from thumbstream.http.errors import MEDIA_TYPE
from thumbstream.http.hot_path import BATCH_TYPE, STREAM_TYPE
from thumbstream.http.query import MAX_BYTES, PREFIX_SIZES
from thumbstream.ids import ID_PATTERN

EXAMPLE_ID = "q0Zr2vYx3m1Ck7Ht5sNwAQ"


def problem_response(description: str) -> dict[str, Any]:
    """Describes an error response, as a member of ``responses`` of an OpenAPI operation."""
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}


def complete_document(document: dict[str, Any], *, tokens: bool) -> dict[str, Any]:
    """Adds `hot_paths` to ``document`` in place. ``tokens``: whether tokens are configured."""
    for path, operations in hot_paths().items():
        document["paths"].setdefault(path, {}).update(operations)
    if tokens:
        schemes = document["components"].setdefault("securitySchemes", {})
        schemes[_BEARER] = {"type": "http", "scheme": "bearer"}
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                guarded = "life cycle" in operation.get("tags", ())
                if guarded or (path, method) == ("/compress", "post"):
                    operation["security"] = [{_BEARER: []}]
    return document


def hot_paths() -> dict[str, Any]:
    """OpenAPI ``paths`` of /thumb/{id}, /t/{id}/{bytes}, /thumbs and /thumbs.json."""
    return {
        "/thumb/{id}": _get(
            "A stream, or its first bytes",
            "Exactly min(bytes, length) bytes; or the fewest that reach a quality, as measured at "
            "the upload. Immutable. A single Range is supported, so a client that has 32 bytes can "
            "fetch the rest.",
            [_ID, _BYTES, _SSIM, _PSNR, _RANGE, _IF_RANGE, _IF_NONE_MATCH],
            STREAM_TYPE,
            {"206": _binary("The range.", STREAM_TYPE, "Content-Range")},
            ("400", "403", "404", "416", "503"),
        ),
        "/t/{id}/{bytes}": _get(
            "A prefix under a path without a query",
            "The CDN-friendly form of /thumb/{id}?bytes={bytes}.",
            [_ID, _SIZE, _RANGE, _IF_RANGE, _IF_NONE_MATCH],
            STREAM_TYPE,
            {"206": _binary("The range.", STREAM_TYPE, "Content-Range")},
            ("400", "403", "404", "416", "503"),
        ),
        "/thumbs": _get(
            "Many prefixes in one response",
            "For each id, in order: the length as 16 bits, big-endian, then the bytes. "
            "Length 0: unknown id.",
            [_IDS, _BYTES, _SSIM, _PSNR, _IF_NONE_MATCH],
            BATCH_TYPE,
            {},
            ("400", "403", "503"),
        ),
        "/thumbs.json": _get(
            "Many prefixes as JSON",
            "`{thumbs: {id: base64 or null}}`; null: unknown id.",
            [_IDS, _BYTES, _SSIM, _PSNR, _IF_NONE_MATCH],
            "application/json",
            {},
            ("400", "403", "503"),
        ),
    }


_BEARER = "bearer"
_ERRORS = {
    "400": "`bad_request`: a parameter is malformed or unknown.",
    "403": "`bad_signature`, `signature_expired`: reads are signed here.",
    "404": "`not_found`: no such stream or prefix size.",
    "416": "`range_not_satisfiable`: the range begins after the last byte.",
    "503": "`store_unavailable`: the store does not answer.",
}


def _parameter(name: str, place: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": schema, **more}


_ID = _parameter(
    "id", "path", {"type": "string", "pattern": f"^{ID_PATTERN.pattern}$"}, example=EXAMPLE_ID
)
_SIZE = _parameter("bytes", "path", {"type": "integer", "enum": list(PREFIX_SIZES)}, example=64)
_BYTES = _parameter(
    "bytes",
    "query",
    {"type": "integer", "minimum": 1, "maximum": MAX_BYTES},
    example=64,
    description="At most this many bytes; default: the full stream.",
)
_SSIM = _parameter(
    "ssim",
    "query",
    {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "multipleOf": 1e-6},
    example=0.8,
    description="The shortest prefix with this SSIM by the stored curve, else the full stream. At "
    "most six decimals, no exponent.",
)
_PSNR = _parameter(
    "psnr",
    "query",
    {"type": "number", "exclusiveMinimum": 0, "maximum": 100, "multipleOf": 1e-6},
    # No example: a page that fills in all of them would send both, which is an error.
    description="The same by PSNR in dB, such as 28. Only one of the two.",
)
_NAMED = f"{ID_PATTERN.pattern}(:[1-9][0-9]{{0,5}})?"
_IDS = _parameter(
    "ids",
    "query",
    {"type": "string", "pattern": f"^{_NAMED}(,{_NAMED})*$"},
    example=f"{EXAMPLE_ID}:48",
    description="Ids, separated by commas; `id:48` for at most 48 bytes of that one.",
) | {"required": True}
_RANGE = _parameter("Range", "header", {"type": "string"}, example="bytes=32-")
_IF_RANGE = _parameter(
    "If-Range",
    "header",
    {"type": "string"},
    description="The ETag of any prefix of the same stream; another one gets the full stream.",
)
_IF_NONE_MATCH = _parameter("If-None-Match", "header", {"type": "string"})


def _binary(description: str, media_type: str, *fields: str) -> dict[str, Any]:
    schema = (
        {"type": "object"}
        if media_type.endswith("json")
        else {"type": "string", "format": "binary"}
    )
    return {
        "description": description,
        "headers": {
            name: {"required": True, "schema": {"type": "string"}}
            for name in ("ETag", "Cache-Control", "Cache-Tag", "Surrogate-Key", *fields)
        },
        "content": {media_type: {"schema": schema}},
    }


def _get(
    summary: str,
    description: str,
    parameters: list[dict[str, Any]],
    media_type: str,
    more: dict[str, Any],
    errors: tuple[str, ...],
) -> dict[str, Any]:
    responses = {
        "200": _binary("The bytes.", media_type),
        **more,
        "304": {"description": "If-None-Match names the current ETag."},
        **{status: problem_response(_ERRORS[status]) for status in errors},
    }
    return {
        "get": {
            "tags": ["streams"],
            "summary": summary,
            "description": description,
            "parameters": parameters,
            "responses": responses,
        }
    }
