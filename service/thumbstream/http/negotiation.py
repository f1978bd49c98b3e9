"""Which form of a preview a client wants: the query wins, then the Accept field."""

from __future__ import annotations

from thumbstream.images.write import MEDIA_TYPES, PictureFormat


def preferred_format(accept: str) -> PictureFormat:
    """The form with the highest quality value in an Accept field (RFC 9110, 12.5.1).

    Of equal ones, the form that the field names most exactly, then the one that stands first in
    the table (PNG); so does a client that accepts none of them, because a picture that it did not
    ask for is more useful to it than an error.
    """
    weights = {form: _weight(accept, MEDIA_TYPES[form].partition(";")[0]) for form in PictureFormat}
    return max(weights, key=weights.__getitem__)


def _weight(accept: str, media_type: str) -> tuple[float, int]:
    """Quality of a type, and how exact the range is that gives it; (0, 0) without one."""
    main = media_type.partition("/")[0]
    covering = {media_type: 3, f"{main}/*": 2, "*/*": 1}
    exactness, quality = 0, 0.0
    for item in accept.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        if covering.get(name, 0) > exactness:
            exactness, quality = covering[name], _quality(parameters)
    return (quality, exactness) if quality else (0.0, 0)


def _quality(parameters: list[str]) -> float:
    value = next((p[2:] for p in parameters if p.startswith("q=")), "1")
    try:
        return min(1.0, max(0.0, float(value)))
    except ValueError:
        return 0.0
