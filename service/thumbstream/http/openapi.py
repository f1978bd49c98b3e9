"""The OpenAPI document's part on what FastAPI cannot see: the hot path, and who may upload."""

from __future__ import annotations

from typing import Any

from thumbstream.http.errors import MEDIA_TYPE
from thumbstream.http.hot_path import BATCH_TYPE, STREAM_TYPE, TIERS
from thumbstream.http.query import MAX_BYTES
from thumbstream.ids import ID_PATTERN

EXAMPLE_ID = "q0Zr2vYx3m1Ck7Ht5sNwAQ"


def problem_response(description: str) -> dict[str, Any]:
    """An error in the list of a route's answers."""
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}


def complete(document: dict[str, Any], *, tokens: bool) -> dict[str, Any]:
    """``document`` of the FastAPI routes with all that is served; ``tokens``: uploads need one."""
    document["paths"] |= hot_paths()
    if tokens:
        schemes = document["components"].setdefault("securitySchemes", {})
        schemes[_BEARER] = {"type": "http", "scheme": "bearer"}
        document["paths"]["/compress"]["post"]["security"] = [{_BEARER: []}]
    return document


def hot_paths() -> dict[str, Any]:
    """``paths`` members of the four routes."""
    return {
        "/thumb/{id}": _get(
            "A stream, or its first bytes",
            "Exactly min(bytes, length) bytes; or the fewest that reach a quality, as measured at "
            "the upload. For ever cacheable. A single Range is honoured, so that a client that "
            "holds 32 bytes can fetch the rest.",
            [_ID, _BYTES, _SSIM, _PSNR, _RANGE, _IF_RANGE, _IF_NONE_MATCH],
            STREAM_TYPE,
            {"206": _binary("The part asked for.", STREAM_TYPE, "Content-Range")},
            ("400", "403", "404", "416", "503"),
        ),
        "/t/{id}/{tier}": _get(
            "A prefix under a path without a query",
            "The CDN-friendly form of /thumb/{id}?bytes={tier}.",
            [_ID, _TIER, _RANGE, _IF_RANGE, _IF_NONE_MATCH],
            STREAM_TYPE,
            {"206": _binary("The part asked for.", STREAM_TYPE, "Content-Range")},
            ("403", "404", "416", "503"),
        ),
        "/thumbs": _get(
            "Many prefixes in one answer",
            "For each id, in order: the length as 16 bits, big-endian, then so many bytes. "
            "Length 0: unknown.",
            [_IDS, _BYTES, _SSIM, _PSNR, _IF_NONE_MATCH],
            BATCH_TYPE,
            {},
            ("400", "403", "503"),
        ),
        "/thumbs.json": _get(
            "Many prefixes as JSON",
            "`{thumbs: {id: base64 or null}}`; null: unknown.",
            [_IDS, _BYTES, _SSIM, _PSNR, _IF_NONE_MATCH],
            "application/json",
            {},
            ("400", "403", "503"),
        ),
    }


_BEARER = "bearer"
_ERRORS = {
    "400": "`bad_request`: a parameter is malformed.",
    "403": "`bad_signature`, `expired`: reads are signed here, and this one is not, or no longer.",
    "404": "`not_found`: no such stream or tier.",
    "416": "`range_not_satisfiable`: the range begins behind the last byte.",
    "503": "`store_unavailable`: the store does not answer.",
}


def _parameter(name: str, place: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": schema, **more}


_ID = _parameter(
    "id", "path", {"type": "string", "pattern": f"^{ID_PATTERN.pattern}$"}, example=EXAMPLE_ID
)
_TIER = _parameter("tier", "path", {"type": "integer", "enum": list(TIERS)}, example=64)
_BYTES = _parameter(
    "bytes",
    "query",
    {"type": "integer", "minimum": 1, "maximum": MAX_BYTES},
    example=64,
    description="At most so many bytes; without it, all.",
)
_SSIM = _parameter(
    "ssim",
    "query",
    {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "multipleOf": 1e-6},
    example=0.8,
    description="The shortest measured prefix with this SSIM; the whole stream if none has it. At "
    "most six decimals, no exponent.",
)
_PSNR = _parameter(
    "psnr",
    "query",
    {"type": "number", "exclusiveMinimum": 0, "maximum": 100, "multipleOf": 1e-6},
    # No example: pages that fill in all of them would ask for both, which is refused.
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
    description="The ETag of any prefix of the same stream; with another one the whole is sent.",
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
            for name in ("ETag", "Cache-Control", *fields)
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
