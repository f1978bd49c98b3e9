"""The work on some pictures, as it is sent to other processes and machines.

`make` reads the files, and hands back what belongs into the store; nothing is written here, and no
password of a store leaves the process that was given it. What is wrong with a picture is an answer;
what is wrong with the installation (a model that is not there, another version) is raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import thumbstream
from thumbstream.bulk.journal import Entry, Made
from thumbstream.bulk.scan import Found
from thumbstream.codec.base import Codec
from thumbstream.encoding import PREVIEW_BYTES, EncodeOptions, encode_picture
from thumbstream.errors import ThumbstreamError
from thumbstream.images import ImageLimits
from thumbstream.models import installed_models


class VersionError(ThumbstreamError):
    """A worker that has another version of the package than the process that sends it work."""


@dataclass(frozen=True)
class Job:
    """What a worker needs to know besides the files: how to encode, and with what limits."""

    options: EncodeOptions
    """With the model named, whatever the default of a worker is."""
    curves: bool = True
    """Whether curves are measured."""
    device: str = "auto"
    limits: ImageLimits = field(default_factory=ImageLimits)
    version: str = thumbstream.__version__

    def fingerprint(self) -> dict[str, object]:
        """What decides about the stored bytes: runs that share a journal agree in it."""
        options = self.options
        target = options.target
        return {
            "model": options.model,
            "size": options.size,
            "max_bytes": options.max_bytes,
            "target": None if target is None else f"{target.measure}:{target.value:g}",
            "alpha": str(options.alpha),
            "curves": self.curves,
        }


class Outcome(NamedTuple):
    """A line for the journal, and what the store must keep before it may be written."""

    entry: Entry
    values: Sequence[tuple[str, bytes]] = ()


def make(job: Job, batch: Sequence[Found]) -> list[Outcome]:
    """Streams of some pictures. Raises `ThumbstreamError` when none could be made at all."""
    if job.version != thumbstream.__version__:
        raise VersionError(
            f"a worker has thumbstream {thumbstream.__version__}, this is {job.version}"
        )
    codec = installed_models(job.device).load(job.options.model)  # opened once a process
    return [_make_one(codec, job, found) for found in batch]


def _make_one(codec: Codec, job: Job, found: Found) -> Outcome:
    try:
        encoded = encode_picture(
            found.path, job.options, codec, limits=job.limits, curve=job.curves
        )
    except (ThumbstreamError, OSError) as error:
        return Outcome(Entry(found, reason=reason_of(error)))
    except Exception as error:  # One picture of a million must not end the run, whatever it is.
        return Outcome(Entry(found, reason=f"{type(error).__name__}: {error}"))
    stream = encoded.stream
    made = Made(encoded.id, len(stream), encoded.width, encoded.height, stream[:PREVIEW_BYTES])
    return Outcome(Entry(found, made), list(encoded.stored_values().items()))


def reason_of(error: Exception) -> str:
    """Why a file could not be used, without its name."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
