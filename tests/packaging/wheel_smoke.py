"""The installed wheel does its job alone: no torch, no source tree, nothing but its dependencies.

Run by the interpreter of an environment that has only the wheel, from a folder that is not the
checkout: ``python -I wheel_smoke.py``, and again with ``--paper-models`` when the wheel of the
paper's models is installed too. Prints what it did; an assertion stops it.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Callable
from email.message import Message
from http import HTTPStatus
from pathlib import Path

import numpy as np
from PIL import Image

import thumbstream

COMMAND = Path(sysconfig.get_path("scripts"), "thumbstream")
PAPER_MODEL = "conv-lstm-1"
PAPER_STREAM = bytes([31, 1, 2, 3])
"""Format 0: a square with a long side of 32 pixels, and three bytes of codes."""
START_SECONDS = 60.0
STOP_SECONDS = 30.0


def picture() -> Image.Image:
    """A 96x64 scene: a sky that fades, a dark hill and a bright disc."""
    y, x = np.mgrid[0:64, 0:96].astype(np.float32)
    sky = np.stack([90 + y, 140 + y, 230 - y], axis=-1)
    sky[y > 44 + 8 * np.sin(x / 12)] = (40, 70, 30)
    sky[(x - 70) ** 2 + (y - 16) ** 2 < 80] = (250, 230, 140)
    return Image.fromarray(sky.clip(0, 255).astype(np.uint8))


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def check_installation() -> None:
    home = Path(thumbstream.__file__).resolve().parent
    packages = Path(sysconfig.get_path("purelib")).resolve()
    assert home == packages / "thumbstream", f"{home} is not the installed package"
    for absent in ("torch", "thumbstream_models", "onnx", "pytest"):
        assert importlib.util.find_spec(absent) is None, f"{absent} is importable"
    client = ("images.min.js", "thumbstream.min.js", "client.bin")
    pages = ("web/index.html", "web/landing.min.js", "web/gallery.min.js", "web/samples/coffee.jpg")
    for shipped in ("py.typed", "_models", *pages, *(f"web/client/{n}" for n in client)):
        assert (home / shipped).exists(), f"{shipped} is not in the wheel"
    print(f"thumbstream {thumbstream.__version__} from {home}")


def check_library() -> None:
    stream = thumbstream.encode(picture(), size=32)
    whole = thumbstream.decode(stream)
    assert whole.dtype == np.uint8
    assert whole.shape == (21, 32, 3)
    reduced = np.asarray(picture().resize((32, 21), Image.Resampling.LANCZOS), dtype=np.float64)
    errors = []
    for length in (16, 32, 64, len(stream)):
        pixels = thumbstream.decode(stream[:length])
        assert pixels.shape == whole.shape
        errors.append(float(np.mean((pixels - reduced) ** 2)))
    # The mean colour alone is what no bytes would give.
    nothing = float(np.mean((reduced - reduced.mean(axis=(0, 1))) ** 2))
    assert errors[-1] < errors[0] < nothing, f"errors {errors}, mean colour {nothing}"
    print(f"library: {len(stream)} bytes; mean squared errors {[round(e) for e in errors]}")


def error_of(call: Callable[[], object]) -> str:
    """The message of the `UnknownModelError` that a call must raise."""
    try:
        call()
    except thumbstream.UnknownModelError as error:
        return str(error)
    raise AssertionError(f"{PAPER_MODEL} is in the wheel of the default model")


def check_paper_models(*, installed: bool) -> None:
    """Models of the second wheel: used if it is installed, else the error names it."""
    if not installed:
        for call in (
            lambda: thumbstream.encode(picture(), model=PAPER_MODEL),
            lambda: thumbstream.decode(PAPER_STREAM),
        ):
            message = error_of(call)
            assert "pip install thumbstream-paper-models" in message, message
        print(f"{PAPER_MODEL}: the error names its distribution")
        return
    stream = thumbstream.encode(picture(), model=PAPER_MODEL)
    assert thumbstream.inspect(stream)["model"] == PAPER_MODEL
    assert thumbstream.decode(stream[:64]).shape == (21, 32, 3)
    assert thumbstream.decode(PAPER_STREAM).shape == (32, 32, 3)
    print(f"{PAPER_MODEL}: {len(stream)} bytes, and back")


def environment(folder: Path) -> dict[str, str]:
    """This process's environment with a home of its own and without the runtime's opt-out."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}


def check_home(folder: Path) -> None:
    # ONNX Runtime would keep a device id and a database of usage events there.
    left = [str(path.relative_to(folder)) for path in (folder / "home").rglob("*")]
    assert not left, f"written to the home folder: {left}"


def check_commands(folder: Path) -> None:
    source, stream, back = folder / "in.png", folder / "in.ths", folder / "out.png"
    source.write_bytes(png(picture()))
    listed = run(folder, "models")
    assert "thumbstream-2" in listed, listed
    assert "conv-lstm-1" not in listed, listed
    run(folder, "encode", str(source), "-o", str(stream))
    run(folder, "decode", str(stream), "-o", str(back), "--bytes", "64")
    with Image.open(back) as image:
        assert image.size == (32, 21)
    print(f"command line: {stream.stat().st_size} bytes, and back")


def check_bulk(folder: Path) -> None:
    """The installed program starts workers of its own kind."""
    pictures = folder / "pictures"
    pictures.mkdir()
    picture().save(pictures / "a.png")
    picture().rotate(180).save(pictures / "b.png")
    results = folder / "all.jsonl"
    where = ["--store", f"sqlite:///{folder / 'bulk.db'}", "--journal", str(folder / "journal")]
    run(folder, "compress-all", str(pictures), *where, "--results", str(results))
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    assert [Path(row["path"]).name for row in rows] == ["a.png", "b.png"]
    assert all((row["width"], row["height"]) == (96, 64) for row in rows)
    print(f"bulk: {[row['id'] for row in rows]}")


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [COMMAND, *arguments],
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"thumbstream {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def check_service(folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "log"
    with log.open("w") as output:
        store = f"sqlite:///{folder / 'streams.db'}"
        service = subprocess.Popen(
            [COMMAND, "serve", "--port", str(port), "--store", store],
            cwd=folder,
            env=environment(folder),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        base = f"http://127.0.0.1:{port}"
        wait_until_ready(base, service)
        check_round_trip(base)
        service.send_signal(signal.SIGTERM)
        status = service.wait(timeout=STOP_SECONDS)
        assert status == 0, f"exit status {status} after SIGTERM"
    except BaseException:
        print(log.read_text(), file=sys.stderr)
        raise
    finally:
        service.kill()
        service.wait()


def fetch(url: str, body: bytes | None = None) -> tuple[int, Message, bytes]:
    """Status, headers and body of a GET, or of a POST of a PNG; raises OSError on a refusal."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "image/png"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.status, response.headers, response.read()


def wait_until_ready(base: str, service: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert service.poll() is None, "the service ended before it was ready"
        try:
            fetch(f"{base}/readyz")
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"not ready after {START_SECONDS} s")


def check_round_trip(base: str) -> None:
    status, _, body = fetch(f"{base}/compress", png(picture()))
    assert status == HTTPStatus.CREATED, body
    receipt = json.loads(body)
    _, headers, prefix = fetch(f"{base}{receipt['url']}?bytes=48")
    assert len(prefix) == 48
    assert "immutable" in headers["Cache-Control"]
    _, _, preview = fetch(f"{base}/decode/{receipt['id']}?bytes=48&format=png")
    served = np.asarray(Image.open(io.BytesIO(preview)).convert("RGB"))
    # The service and the library are one codec: the same prefix gives the same pixels.
    assert np.array_equal(served, thumbstream.decode(prefix))
    _, headers, _ = fetch(f"{base}/")
    assert headers.get_content_type() == "text/html"
    print(f"service: {receipt['length']} bytes as {receipt['id']}, prefix and preview served")


def main() -> None:
    if sys.argv[1:] == ["--paper-models"]:
        check_paper_models(installed=True)
        return
    check_installation()
    check_paper_models(installed=False)
    check_library()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        check_commands(folder)
        check_bulk(folder)
        check_service(folder)
        check_home(folder)
    print(f"wheel: passed on Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
