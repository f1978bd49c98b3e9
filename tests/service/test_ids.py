from __future__ import annotations

import base64
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thumbstream.ids import curve_key, identify, is_id


@given(st.binary(max_size=300))
def test_id_is_the_hash_of_the_stream(stream: bytes) -> None:
    key = identify(stream)
    assert base64.urlsafe_b64decode(key + "==") == blake2b(stream, digest_size=16).digest()
    assert is_id(key)


def test_ids_are_golden() -> None:
    assert identify(b"") == "yuZpQdnvvUBOTYh1jqZ2cA"
    assert identify(b"thumbstream") == "tz36TYW14GEfdp_UKUHe0Q"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A" * 21,
        "A" * 23,
        "A" * 21 + "B",  # bits that a 128-bit hash does not have
        "A" * 20 + "+A",
        "A" * 20 + "/A",
        "A" * 21 + "A\n",
        "../" + "A" * 19,
        "é" * 21 + "A",
    ],
)
def test_other_strings_are_not_ids(text: str) -> None:
    assert not is_id(text)


def test_curve_key_is_not_an_id() -> None:
    assert curve_key("A" * 22) == "~" + "A" * 22
    assert not is_id(curve_key("A" * 22))
    assert not is_id(curve_key("A" * 22)[:22])
