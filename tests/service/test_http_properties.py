"""Ranges, ETags and queries for generated inputs, against plain reference code."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import example, given
from hypothesis import strategies as st

from thumbstream.codec.prefix_search import Target
from thumbstream.http.errors import BadRequestError
from thumbstream.http.query import (
    CACHED_QUERY_CHARACTERS,
    MAX_BYTES,
    MAX_IDS,
    PrefixQuery,
    parse_batch_query,
    parse_prefix_query,
)
from thumbstream.http.request_headers import matches_any, parse_range, preferred_format
from thumbstream.ids import identify
from thumbstream.images.write import PictureFormat

streams = st.binary(min_size=1, max_size=200)
ids = st.binary(max_size=8).map(identify)
counts = st.integers(1, MAX_BYTES)
ETAG_CHARACTERS = st.characters(min_codepoint=0x23, max_codepoint=0x7E)


@given(streams, st.integers(0, 250), st.none() | st.integers(0, 10**18 - 1))
def test_range_selects_the_named_bytes(stream: bytes, first: int, last: int | None) -> None:
    span = parse_range(f"bytes={first}-{'' if last is None else last}", len(stream))
    if last is not None and last < first:
        assert span is None
        return
    named = [byte for place, byte in enumerate(stream) if first <= place <= (last or 0)]
    if last is None:
        named = list(stream[first:])
    assert span is not None
    assert list(stream[span.start : span.stop]) == named


@given(streams, st.integers(0, 250))
def test_suffix_range_selects_the_last_bytes(stream: bytes, count: int) -> None:
    span = parse_range(f"bytes=-{count}", len(stream))
    assert span is not None
    assert stream[span.start : span.stop] == (stream[-count:] if count else b"")


@given(streams, st.lists(st.integers(1, 200), max_size=6))
def test_consecutive_ranges_are_the_stream(stream: bytes, cuts: list[int]) -> None:
    held = b""
    for cut in sorted({*cuts, len(stream)}):
        span = parse_range(f"bytes={len(held)}-{cut - 1}", len(stream))
        if span is not None and span.start < span.stop:
            held += stream[span.start : span.stop]
    assert held == stream


@given(st.text(max_size=60), st.integers(1, 10**6))
def test_any_range_field_is_within_or_none(field: str, length: int) -> None:
    span = parse_range(field, length)
    assert span is None or 0 <= span.start <= span.stop <= length


@given(
    st.lists(st.tuples(st.booleans(), st.text(ETAG_CHARACTERS, max_size=12)), max_size=5),
    st.text(ETAG_CHARACTERS, min_size=1, max_size=12),
    st.booleans(),
)
def test_etag_matches_if_listed(listed: list[tuple[bool, str]], own: str, weak: bool) -> None:
    # A comma in a tag would be read as the end of it. None is ever sent.
    listed = [(mark, tag.replace(",", "")) for mark, tag in listed]
    own = own.replace(",", ".")
    field = ", ".join(f'{"W/" * mark}"{tag}"' for mark, tag in listed)
    etag = f'{"W/" * weak}"{own}"'
    assert matches_any(field, etag) == (own in {tag for _, tag in listed})
    assert matches_any(f"{field}, {etag}", etag)


@given(st.text(max_size=60))
def test_any_field_value_is_parsed(field: str) -> None:
    assert isinstance(matches_any(field, '"a.3"'), bool)
    assert preferred_format(field) in PictureFormat


@given(st.binary(max_size=2 * CACHED_QUERY_CHARACTERS))
@example(b"bytes=1&bytes=1")
@example(b"bytes=%31")
@example("bytes=\u0661".encode())
def test_any_prefix_query_is_valid_or_bad_request(query: bytes) -> None:
    try:
        prefix = parse_prefix_query(query)
    except BadRequestError:
        prefix = None
    else:
        assert 1 <= prefix.limit <= MAX_BYTES
    # The same query, too long for the cache of parsed queries.
    try:
        uncached = parse_prefix_query(query + b"&sig=" + b"y" * CACHED_QUERY_CHARACTERS)
    except BadRequestError:
        uncached = None
    assert uncached == prefix


@given(counts, st.sampled_from(["ssim", "psnr"]), st.integers(1, 10**6))
def test_prefix_query_roundtrip(count: int, measure: str, millionths: int) -> None:
    target = f"{millionths / 10**6:.6f}"
    query = f"bytes={count}&{measure}={target}".encode()
    assert parse_prefix_query(query) == PrefixQuery(count, Target(measure, float(target)))


@given(st.dictionaries(ids, st.none() | counts, min_size=1, max_size=9), st.none() | counts)
def test_batch_query_roundtrip(named: dict[str, int | None], most: int | None) -> None:
    text = ",".join(key if count is None else f"{key}:{count}" for key, count in named.items())
    query = f"ids={quote(text)}" + ("" if most is None else f"&bytes={most}")
    batch = parse_batch_query(query.encode())
    assert batch.ids == list(named)
    ceiling = most or MAX_BYTES
    assert batch.limits == [min(count or MAX_BYTES, ceiling) for count in named.values()]
    assert batch.target is None


@given(st.binary(max_size=120))
def test_any_batch_query_is_valid_or_bad_request(text: bytes) -> None:
    for query in (text, b"ids=" + text):
        try:
            batch = parse_batch_query(query)
        except BadRequestError:
            continue
        assert 1 <= len(batch.ids) == len(batch.limits) <= MAX_IDS
