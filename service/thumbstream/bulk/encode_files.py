"""`encode_files`, the function that worker processes and other machines run on a batch of files.

`encode_files` reads picture files and returns their streams and curves. It never writes to the
store, so workers do not need the password of the store. For a file that cannot be encoded,
`encode_files` returns a failed result; for a fault of the installation (a missing model, a
different version), it raises an error.
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
    """A worker and the process that submits its jobs have different versions of the package."""


@dataclass(frozen=True)
class Job:
    """Encoding parameters that all files of a run share."""

    options: EncodeOptions
    """Options for every file. ``model`` must be set: the default may differ on a worker."""
    curves: bool = True
    """Whether to measure rate-distortion curves."""
    device: str = "auto"
    limits: ImageLimits = field(default_factory=ImageLimits)
    version: str = thumbstream.__version__

    def fingerprint(self) -> dict[str, object]:
        """Return the parameters that determine the stored bytes.

        All runs with the same journal must have the same fingerprint.
        """
        options, target = self.options, self.options.target
        return {
            "model": options.model,
            "size": options.size,
            "max_bytes": options.max_bytes,
            "target": None if target is None else f"{target.measure}:{target.value:g}",
            "alpha": str(options.alpha),
            "effort": str(options.effort),
            "curves": self.curves,
        }


class Outcome(NamedTuple):
    """The result of encoding one file, and the values to store before the result is journaled."""

    result: FileResult
    values: Mapping[str, bytes] = {}


RESULTS = (Outcome, FileResult, FileInfo, EncodedFile, VersionError)
"""Classes that `encode_files` returns or raises, for `ProcessPool`."""


def encode_files(job: Job, files: Sequence[FileInfo]) -> list[Outcome]:
    """Encode a batch of files; returns one outcome for each file, in the same order.

    Raises `ThumbstreamError` if this installation cannot run ``job`` at all, and `MemoryError`.
    """
    if job.version != thumbstream.__version__:
        raise VersionError(
            f"a worker has thumbstream {thumbstream.__version__}, this is {job.version}"
        )
    codec = open_model(job)
    return [_encode_file(job, codec, file) for file in files]


def open_model(job: Job) -> Codec:
    """Return the codec for the model of ``job``; each process opens a model only once."""
    return installed_models(job.device).load(job.options.model)


def _encode_file(job: Job, codec: Codec, file: FileInfo) -> Outcome:
    try:
        thumb = encode_picture(file.path, job.options, codec, limits=job.limits, curve=job.curves)
    except (ThumbstreamError, OSError) as error:
        return Outcome(FileResult(file, reason=reason_of(error)))
    except MemoryError:  # the pool handles this error: the process may be unusable
        raise
    except Exception as error:  # one file of a million must not end the run
        return Outcome(FileResult(file, reason=f"{type(error).__name__}: {error}"))
    encoded = EncodedFile(
        thumb.id,
        len(thumb.stream),
        thumb.width,
        thumb.height,
        thumb.stream[:INLINE_PREFIX_BYTES],
        thumb.truncated,
    )
    return Outcome(FileResult(file, encoded), thumb.stored_values())


def reason_of(error: Exception) -> str:
    """Return the message of ``error``, without the file name that an `OSError` adds."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
