"""Encoding of some files, as it is sent to other processes and machines.

`encode_files` reads the files and returns what belongs into the store. It writes nothing, and the
store's password never leaves the process that was started with it. A file that cannot be encoded is
a result; a fault of the installation (a missing model, another version) is raised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import thumbstream
from thumbstream.bulk.journal import EncodedFile, FileResult
from thumbstream.bulk.scan import FileInfo
from thumbstream.codec.base import Codec
from thumbstream.encoding import INLINE_PREFIX_BYTES, EncodeOptions, encode_picture
from thumbstream.errors import ThumbstreamError
from thumbstream.images import ImageLimits
from thumbstream.models import installed_models


class VersionError(ThumbstreamError):
    """A worker with another version of the package than the process that sends it files."""


@dataclass(frozen=True)
class Job:
    """How the files of a run are encoded."""

    options: EncodeOptions
    """Names the model: the default of a worker may be another."""
    curves: bool = True
    """Whether curves are measured."""
    device: str = "auto"
    limits: ImageLimits = field(default_factory=ImageLimits)
    version: str = thumbstream.__version__

    def fingerprint(self) -> dict[str, object]:
        """What decides about the stored bytes: runs that share a journal agree in it."""
        options, target = self.options, self.options.target
        return {
            "model": options.model,
            "size": options.size,
            "max_bytes": options.max_bytes,
            "target": None if target is None else f"{target.measure}:{target.value:g}",
            "alpha": str(options.alpha),
            "curves": self.curves,
        }


class Outcome(NamedTuple):
    """A row of the journal, and what the store must hold before it is written."""

    result: FileResult
    values: Mapping[str, bytes] = {}


def encode_files(job: Job, files: Sequence[FileInfo]) -> list[Outcome]:
    """Encode some files.

    Raises `ThumbstreamError` if the installation cannot encode any, and `MemoryError`.
    """
    if job.version != thumbstream.__version__:
        raise VersionError(
            f"a worker has thumbstream {thumbstream.__version__}, this is {job.version}"
        )
    codec = open_model(job)
    return [_encode_file(job, codec, file) for file in files]


def open_model(job: Job) -> Codec:
    """The codec of ``job``, opened once in a process."""
    return installed_models(job.device).load(job.options.model)


def _encode_file(job: Job, codec: Codec, file: FileInfo) -> Outcome:
    try:
        thumb = encode_picture(file.path, job.options, codec, limits=job.limits, curve=job.curves)
    except (ThumbstreamError, OSError) as error:
        return Outcome(FileResult(file, reason=reason_of(error)))
    except MemoryError:  # for the pool: the process may be of no further use
        raise
    except Exception as error:  # one file of a million must not end the run
        return Outcome(FileResult(file, reason=f"{type(error).__name__}: {error}"))
    encoded = EncodedFile(
        thumb.id, len(thumb.stream), thumb.width, thumb.height, thumb.stream[:INLINE_PREFIX_BYTES]
    )
    return Outcome(FileResult(file, encoded), thumb.stored_values())


def reason_of(error: Exception) -> str:
    """The message of ``error``, without the name of the file."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
