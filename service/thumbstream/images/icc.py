"""Checks and trims an ICC profile before a color management system reads it.

A profile is a program: multi-process elements may be named thousands of times by a profile of 400
bytes, and tables may claim far more entries than there are bytes. Only the tags that describe the
way from device colors are kept, and only in the forms that nearly every profile has.
"""

from __future__ import annotations

import struct

from thumbstream.images.color_space import RgbSpace, from_cicp

MAX_PROFILE_BYTES = 4 << 20
"""Longer profiles are ignored; press profiles have 0.5 to 2.5 MB."""

MAX_TAGS = 100
"""Profiles have 9 to 40."""

_HEADER = 128
_ENTRY = 12

_KEPT = frozenset(
    b"A2B0 A2B1 A2B2 B2A0 B2A1 B2A2 bkpt wtpt chad rXYZ gXYZ bXYZ rTRC gTRC bTRC kTRC".split()
)
_TYPES = frozenset([b"XYZ ", b"curv", b"para", b"sf32", b"mft1", b"mft2", b"mAB ", b"mBA "])


def cicp_space(profile: bytes) -> RgbSpace | None:
    """The space of the code points in the ``cicp`` tag of a profile.

    The rest of such a profile is for programs that do not know them, and cannot describe HDR.
    """
    if not _HEADER + 4 <= len(profile) <= MAX_PROFILE_BYTES:
        return None
    (count,) = struct.unpack_from(">I", profile, _HEADER)
    for entry in range(min(count, MAX_TAGS, (len(profile) - _HEADER - 4) // _ENTRY)):
        tag, offset, size = struct.unpack_from(">4sII", profile, _HEADER + 4 + entry * _ENTRY)
        content = profile[offset : offset + size]
        if tag == content[:4] == b"cicp" and len(content) >= 12 and content[10] == 0:
            return from_cicp(content[8], content[9], video_is_srgb=False)
    return None


def trim_profile(profile: bytes) -> bytes | None:
    """``profile`` without the tags that are not needed; None if it should not be used at all."""
    if not _HEADER + 4 <= len(profile) <= MAX_PROFILE_BYTES:
        return None
    (count,) = struct.unpack_from(">I", profile, _HEADER)
    end_of_table = _HEADER + 4 + count * _ENTRY
    if count > MAX_TAGS or end_of_table > len(profile):
        return None
    kept = []
    for entry in range(count):
        tag, offset, size = struct.unpack_from(">4sII", profile, _HEADER + 4 + entry * _ENTRY)
        if tag not in _KEPT:
            continue
        data = profile[offset : offset + size]
        if offset < end_of_table or len(data) != size or data[:4] not in _TYPES:
            return None
        if not _fits(data):
            return None
        kept.append((tag, offset, size))
    if _overlap(kept):
        return None
    table = b"".join(struct.pack(">4sII", *entry) for entry in kept)
    padding = bytes(end_of_table - _HEADER - 4 - len(table))
    count_field = struct.pack(">I", len(kept))
    return b"".join([profile[:_HEADER], count_field, table, padding, profile[end_of_table:]])


def _overlap(tags: list[tuple[bytes, int, int]]) -> bool:
    """Whether tags share a part of their bytes. They may share all: three equal curves."""
    end = 0
    for offset, size in sorted({(offset, size) for _, offset, size in tags}):
        if offset < end:
            return True
        end = offset + size
    return False


def _fits(data: bytes) -> bool:
    """Whether the tables that a tag declares are in its data."""
    if len(data) < 12:
        return False
    if data[:4] == b"curv":
        (entries,) = struct.unpack_from(">I", data, 8)
        return bool(12 + 2 * entries <= len(data))
    if data[:4] in (b"mft1", b"mft2"):
        if len(data) < 52:
            return False
        inputs, outputs, points = data[8:11]
        width = 1 if data[:4] == b"mft1" else 2
        steps = (256, 256) if width == 1 else struct.unpack_from(">HH", data, 48)
        entries = inputs * steps[0] + points**inputs * outputs + outputs * steps[1]
        return inputs <= 4 and 48 + width * entries <= len(data)
    if data[:4] in (b"mAB ", b"mBA "):
        return _lut_fits(data)
    return True


def _lut_fits(data: bytes) -> bool:
    """The same for ``mAB`` and ``mBA``, whose color table stands anywhere in the tag."""
    if len(data) < 32:
        return False
    inputs, outputs = data[8], data[9]
    (table,) = struct.unpack_from(">I", data, 24)
    if inputs > 4 or outputs > 4:
        return False
    if not table:
        return True
    if table + 20 > len(data):
        return False
    entries = outputs
    for points in data[table : table + inputs]:
        entries *= points
    return bool(table + 20 + entries * data[table + 16] <= len(data))
