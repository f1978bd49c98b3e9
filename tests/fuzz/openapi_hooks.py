"""What schemathesis must know beyond the OpenAPI document; loaded by it, see ``fuzz_openapi``."""

from __future__ import annotations

from typing import Any

import fuzz_decoding
import fuzz_ingest
import schemathesis
from hypothesis import strategies as st

EXCLUDING = (("ssim", "psnr"), ("target", "max_bytes"))
"""Query parameters of which a request may have one: no OpenAPI 3.1 document can say so."""

PICTURES = [data for _, data in fuzz_ingest.seeds()]
STREAMS = [data for _, data in fuzz_decoding.seeds()]

pictures = st.one_of(st.sampled_from(PICTURES), st.binary(min_size=1, max_size=300))
streams = st.one_of(
    st.sampled_from(STREAMS),
    st.sampled_from(STREAMS).flatmap(lambda s: st.integers(1, len(s)).map(lambda n: s[:n])),
    st.binary(min_size=1, max_size=300),
)

schemathesis.openapi.media_type("image/*", pictures)
schemathesis.openapi.media_type("application/octet-stream", pictures)
schemathesis.openapi.media_type("application/vnd.thumbstream", streams)


@schemathesis.hook
def before_call(
    _context: schemathesis.HookContext, case: schemathesis.Case, _kwargs: dict[str, Any]
) -> None:
    """In valid requests, one of two parameters that exclude each other; decimals spelt out.

    Labels have printable characters alone: no pattern says which these are.
    """
    query = case.query or {}
    if case.meta is None or case.meta.generation.mode.is_negative:
        return
    for one, other in EXCLUDING:
        if one in query:
            query.pop(other, None)
    if isinstance(label := query.get("label"), str):
        query["label"] = "".join(c for c in label if c.isprintable() and c != "\ufffd")[:32] or "a"
    for name in ("ssim", "psnr"):  # not 1e-05, and not 0.30000000000000004
        if name in query:
            query[name] = f"{float(query[name]):.6f}"


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """Forms of text: a list would become a field for each element, and fields are counted."""
    if context.operation.path != "/compress" or not isinstance(body, dict):
        return body
    return {name: value if name == "file" else str(value) for name, value in body.items()}


@schemathesis.hook
def before_load_schema(_context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Rows instead of tuples: schemathesis 4.32 rewrites ``prefixItems`` and fails at that."""
    for document in raw_schema["components"]["schemas"].values():
        _without_tuples(document)


def _without_tuples(schema: Any) -> None:
    if isinstance(schema, dict):
        if kinds := schema.pop("prefixItems", None):
            schema["items"] = kinds[-1]
        for value in schema.values():
            _without_tuples(value)
    elif isinstance(schema, list):
        for value in schema:
            _without_tuples(value)
