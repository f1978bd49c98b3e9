"""Jobs give the same streams and errors in worker processes as in this process."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

import numpy as np
import pytest
from PIL import Image

import thumbstream
from thumbstream.encoding import EncodeOptions
from thumbstream.errors import BitstreamError, InvalidImageError, UnsupportedFormatError
from thumbstream.images import Alpha, ImageLimits
from thumbstream.images.write import PictureFormat
from thumbstream.jobs import RESULTS, Jobs, ProcessJobs, ThreadJobs, open_default_model
from thumbstream.models import ModelRegistry, search_paths
from thumbstream.process_pool import JobLimits, ProcessPool
from thumbstream.thread_pool import ThreadPool

OPTIONS = EncodeOptions(size=32, max_bytes=100)


def picture_file(form: str = "PNG", mode: str = "RGB") -> bytes:
    channels = len(mode)
    pixels = np.random.default_rng(7).integers(0, 256, (6, 8, channels), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels, mode).resize((128, 96)).save(out, form)
    return out.getvalue()


@pytest.fixture(params=["processes", "threads", "threads and processes"])
async def jobs(request: pytest.FixtureRequest) -> AsyncIterator[Jobs]:
    made: Jobs
    if request.param == "processes":
        processes = ProcessPool(
            *(1, 4, JobLimits(), open_default_model), classes=RESULTS, readable=search_paths()
        )
        made = ProcessJobs(processes, ThreadPool(1, 4))
    else:
        pool = ProcessPool(1, 4, JobLimits()) if "processes" in request.param else None
        made = ThreadJobs(ModelRegistry(device="cpu"), ThreadPool(1, 4), pool)
    await asyncio.to_thread(made.start)
    yield made
    await made.close()


async def test_encodes_and_decodes_like_the_library(jobs: Jobs) -> None:
    file = picture_file()
    encoded = await jobs.encode(file, OPTIONS, ImageLimits(), curve=True)
    assert encoded.thumbnail.stream == thumbstream.encode(file, size=32, max_bytes=100)
    assert encoded.thumbnail.curve is not None
    assert 0 < encoded.curve_seconds < encoded.seconds
    preview = await jobs.decode(encoded.thumbnail.stream[:64], PictureFormat.PNG, 2)
    assert Image.open(io.BytesIO(preview)).size == (64, 48)
    assert (jobs.running, jobs.waiting) == (0, 0)
    assert jobs.is_alive()


@pytest.mark.parametrize("alpha", Alpha)
async def test_keeps_alpha_as_the_options_say(jobs: Jobs, alpha: Alpha) -> None:
    options = EncodeOptions(size=32, alpha=alpha)
    encoded = await jobs.encode(picture_file(mode="RGBA"), options, ImageLimits(), curve=False)
    assert encoded.thumbnail.alpha == (alpha is Alpha.KEEP)
    assert encoded.thumbnail.curve is None


async def test_errors_are_those_of_the_library(jobs: Jobs) -> None:
    with pytest.raises(UnsupportedFormatError):
        await jobs.encode(b"neither", OPTIONS, ImageLimits(), curve=False)
    with pytest.raises(InvalidImageError):
        await jobs.encode(picture_file("GIF")[:40], OPTIONS, ImageLimits(), curve=False)
    with pytest.raises(BitstreamError):
        await jobs.decode(b"", PictureFormat.PNG, 1)
