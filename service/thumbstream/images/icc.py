"""Checks and trims an ICC profile before Pillow's color management library reads the profile.

A hostile profile can be very slow: 400 bytes may refer thousands of times to a multi-process
element, and a table may declare far more entries than its bytes can hold. This module keeps only
the tags that define the color conversion, and only in the data types that nearly all profiles use.
"""

from __future__ import annotations

import struct

from thumbstream.images.color_space import RgbSpace, from_cicp

MAX_PROFILE_BYTES = 4 << 20
"""Length of the longest profile that is used; profiles for printing presses have 0.5 to 2.5 MB."""

MAX_TAGS = 100
"""Most tags in a profile that is used; ordinary profiles have 9 to 40."""

_HEADER = 128
_ENTRY = 12

_KEPT = frozenset(
    b"A2B0 A2B1 A2B2 B2A0 B2A1 B2A2 bkpt wtpt chad rXYZ gXYZ bXYZ rTRC gTRC bTRC kTRC".split()
)
_TYPES = frozenset([b"XYZ ", b"curv", b"para", b"sf32", b"mft1", b"mft2", b"mAB ", b"mBA "])


def cicp_space(profile: bytes) -> RgbSpace | None:
    """Return the RGB space of the ``cicp`` tag of a profile, or None if there is no valid tag.

    The tag has priority over the other tags of the profile, which cannot describe HDR: they are for
    programs that do not support ``cicp``.
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
    """Return ``profile`` without the tags that are not needed, or None if a check fails.

    The checks cover the length, the number of tags, and the type, size and overlap of needed tags.
    """
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
    """Return whether two tags (name, offset, size) overlap without being identical.

    Identical extents are allowed: profiles often have one curve for all three colors.
    """
    end = 0
    for offset, size in sorted({(offset, size) for _, offset, size in tags}):
        if offset < end:
            return True
        end = offset + size
    return False


def _fits(data: bytes) -> bool:
    """Return whether ``data``, the content of a tag, is long enough for the tables it declares."""
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
    """Return whether the color table of an ``mAB`` or ``mBA`` tag is within ``data``.

    ``data`` is the content of the tag; the color table may be anywhere in it.
    """
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
