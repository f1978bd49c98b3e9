"""The command line, in this process through ``main`` and, where it matters, in one of its own."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from launch import clean_environment
from numpy.typing import NDArray
from PIL import Image

import thumbstream
from thumbstream import cli
from thumbstream.cli import encode as encode_command
from thumbstream.models import installed_models

Pixels = NDArray[np.uint8]
TIMEOUT_S = 180
PAPER = "conv-lstm-1"
COMMANDS = (
    "encode",
    "compress-all",
    "upload",
    "decode",
    "inspect",
    "truncate",
    "models",
    "serve",
    "sign",
    "store",
)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("THUMBSTREAM_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def pixels(photo_like: Callable[..., Pixels]) -> Pixels:
    """(48, 64, 3)."""
    return photo_like(64, 48)


@pytest.fixture
def picture(tmp_path: Path, pixels: Pixels) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def stream(pixels: Pixels) -> bytes:
    return thumbstream.encode(pixels)


@pytest.fixture
def stored(tmp_path: Path, stream: bytes) -> Path:
    path = tmp_path / "stored.ths"
    path.write_bytes(stream)
    return path


class Standard:
    """Standard input and output as bytes, for commands that run in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.out = io.BytesIO()

    def give(self, data: bytes) -> None:
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    def catch(self) -> None:
        self.out = io.BytesIO()
        self._patch.setattr(sys, "stdout", io.TextIOWrapper(self.out, write_through=True))


@pytest.fixture
def standard(monkeypatch: pytest.MonkeyPatch) -> Standard:
    return Standard(monkeypatch)


PROGRAM = [sys.executable, "-m", "thumbstream"]


def environment() -> dict[str, str]:
    """For a process of its own: this source tree, and buffers as they are without a terminal."""
    inherited = clean_environment()
    inherited.pop("PYTHONUNBUFFERED", None)
    return inherited


def run(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=TIMEOUT_S,
        env=environment(),
    )


def main(*arguments: str | Path) -> int:
    return cli.main([str(argument) for argument in arguments])


def usage_error(*arguments: str | Path) -> bool:
    with pytest.raises(SystemExit) as caught:
        main(*arguments)
    return caught.value.code == 2


# encode


def test_encode_to_a_file(tmp_path: Path, picture: Path, stream: bytes) -> None:
    out = tmp_path / "out.bin"
    assert main("encode", picture, "-o", out) == 0
    assert out.read_bytes() == stream


def name_of_stream(picture: Path) -> Path:
    """``photo.jpg.ths``, wherever it is written."""
    return picture.with_name(picture.name + ".ths")


def test_encode_next_to_the_picture(picture: Path, stream: bytes) -> None:
    assert main("encode", picture) == 0
    assert name_of_stream(picture).read_bytes() == stream


def test_encode_into_a_folder(tmp_path: Path, picture: Path, stream: bytes) -> None:
    folder = tmp_path / "streams"
    folder.mkdir()
    assert main("encode", picture, "-o", folder) == 0
    assert [path.name for path in folder.iterdir()] == [name_of_stream(picture).name]
    assert (folder / name_of_stream(picture).name).read_bytes() == stream


@pytest.mark.parametrize("options", [[], ["-o", "."], ["-o", "picture.png.ths"]], ids=str)
def test_encode_overwrites_a_file_only_with_force(
    picture: Path,
    stream: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
) -> None:
    monkeypatch.chdir(picture.parent)
    name_of_stream(picture).write_bytes(b"mine")
    assert main("encode", "picture.png", *options) == 1
    assert "picture.png.ths exists: use --force" in capsys.readouterr().err
    assert name_of_stream(picture).read_bytes() == b"mine"
    assert main("encode", "picture.png", "--force", *options) == 0
    assert name_of_stream(picture).read_bytes() == stream


@pytest.mark.parametrize("link", [False, True], ids=["itself", "link"])
def test_encode_never_overwrites_the_picture(
    picture: Path, capsys: pytest.CaptureFixture[str], link: bool
) -> None:
    before, output = picture.read_bytes(), picture
    if link:
        output = picture.with_name("link")
        output.symlink_to(picture)
    assert main("encode", picture, "-o", output, "--force") == 1
    assert "the picture itself" in capsys.readouterr().err
    assert picture.read_bytes() == before


def test_encode_to_a_device(picture: Path) -> None:
    assert main("encode", picture, "-o", "/dev/null") == 0


def test_encode_of_a_folder_names_compress_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("encode", tmp_path) == 1
    assert "is a folder: `thumbstream compress-all`" in capsys.readouterr().err


def test_encode_reads_the_settings(
    picture: Path,
    pixels: Pixels,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("THUMBSTREAM_DEFAULT_SIZE", "16")
    monkeypatch.setenv("THUMBSTREAM_MODELS", PAPER)
    assert main("encode", picture) == 0
    expected = thumbstream.encode(pixels, size=16, model=PAPER)
    assert name_of_stream(picture).read_bytes() == expected
    monkeypatch.setenv("THUMBSTREAM_MAX_PIXELS", "99")
    assert main("encode", picture, "--force") == 1
    assert "more than 99 pixels" in capsys.readouterr().err


def test_encode_with_options(tmp_path: Path, picture: Path, pixels: Pixels) -> None:
    out = tmp_path / "out.ths"
    model = installed_models().installed[0]
    options = ["--size", "16", "--max-bytes", "20", "--model", model]
    assert main("encode", picture, "-o", out, *options) == 0
    assert out.read_bytes() == thumbstream.encode(pixels, size=16, max_bytes=20)


@pytest.mark.parametrize("goal", ["ssim:0.5", "psnr:18.5", "bytes:40"])
def test_encode_to_a_target(
    tmp_path: Path, picture: Path, pixels: Pixels, goal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.ths"
    assert main("encode", picture, "-o", out, "--target", goal) == 0
    assert out.read_bytes() == thumbstream.encode(pixels, target=goal)
    assert capsys.readouterr().err == ""


def test_encode_to_a_target_that_no_prefix_reaches(
    tmp_path: Path, picture: Path, stream: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole stream is written all the same, and a line says so."""
    out = tmp_path / "out.ths"
    assert main("encode", picture, "-o", out, "--target", "psnr:90") == 0
    assert out.read_bytes() == stream
    said = capsys.readouterr()
    assert said.err == f"thumbstream: {picture}: even the whole stream is below psnr 90\n"
    assert said.out == ""


@pytest.mark.parametrize(
    "options",
    [
        *(["--target", "ssim"], ["--target", "ssim:1.5"], ["--target", "bytes:0"], ["--target"]),
        ["--target", "ssim:0.5", "--max-bytes", "64"],
    ],
    ids=" ".join,
)
def test_rejects_invalid_targets(picture: Path, options: list[str]) -> None:
    assert usage_error("encode", picture, *options)
    assert not name_of_stream(picture).exists()


@pytest.mark.parametrize("model", installed_models().installed)
def test_every_model_there_and_back(tmp_path: Path, picture: Path, model: str) -> None:
    stored, decoded = tmp_path / "stored.ths", tmp_path / "decoded.png"
    assert main("encode", picture, "-o", stored, "--model", model) == 0
    assert main("decode", stored, "-o", decoded) == 0
    stream = stored.read_bytes()
    assert thumbstream.inspect(stream)["model"] == model
    with Image.open(decoded) as image:
        np.testing.assert_array_equal(np.asarray(image), thumbstream.decode(stream))


def test_encode_through_pipes(standard: Standard, picture: Path, stream: bytes) -> None:
    standard.give(picture.read_bytes())
    standard.catch()
    assert main("encode", "-") == 0
    assert standard.out.getvalue() == stream


def test_encode_to_standard_output(standard: Standard, picture: Path, stream: bytes) -> None:
    standard.catch()
    assert main("encode", picture, "-o", "-") == 0
    assert standard.out.getvalue() == stream


def test_encode_several_with_a_bad_one(
    tmp_path: Path, picture: Path, stream: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are written, the bad ones named, and the status says that not all went well."""
    bad, absent, last = tmp_path / "bad.png", tmp_path / "absent.png", tmp_path / "last.png"
    bad.write_bytes(b"no picture")
    last.write_bytes(picture.read_bytes())
    folder = tmp_path / "new" / "folder"
    assert main("encode", picture, bad, absent, last, "-o", folder) == 1
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 2
    assert [name.split(".")[0] for name in names] == ["last", "picture"]
    assert all(path.read_bytes() == stream for path in folder.iterdir())
    said = capsys.readouterr()
    assert f"{bad}: " in said.err
    assert f"{absent}: " in said.err
    assert str(last) not in said.err
    assert said.out == ""


def test_encode_several_next_to_themselves(tmp_path: Path, picture: Path, stream: bytes) -> None:
    other = tmp_path / "other.png"
    other.write_bytes(picture.read_bytes())
    assert main("encode", picture, other) == 0
    for path in (picture, other):
        assert name_of_stream(path).read_bytes() == stream


@pytest.mark.parametrize("into_a_folder", [False, True], ids=["next to it", "folder"])
def test_encode_never_writes_two_pictures_to_one_file(
    tmp_path: Path,
    picture: Path,
    pixels: Pixels,
    capsys: pytest.CaptureFixture[str],
    into_a_folder: bool,
) -> None:
    """``a.png`` and ``a.webp`` are two pictures, and so are ``a.png`` of two folders."""
    other = tmp_path / "picture.webp"
    if into_a_folder:
        (tmp_path / "sub").mkdir()
        other = tmp_path / "sub" / "picture.png"
    Image.fromarray(255 - pixels).save(other)
    folder = tmp_path / "streams"
    options = ["-o", folder] if into_a_folder else []
    status = main("encode", picture, other, *options, "--force")
    written = {path.read_bytes() for path in tmp_path.rglob("*.ths")}
    if into_a_folder:
        assert status == 1
        assert "two pictures would be written to" in capsys.readouterr().err
        assert written == {thumbstream.encode(pixels)}
    else:
        assert status == 0
        assert len(written) == 2


@pytest.mark.parametrize(
    "arguments", [["one.png", "two.png", "-o", "-"], ["-", "one.png", "-o", "folder"]], ids=str
)
def test_several_streams_need_a_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    standard: Standard,
    picture: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one.png", "two.png"):
        Path(name).write_bytes(picture.read_bytes())
    standard.give(picture.read_bytes())
    assert main("encode", *arguments) != 0
    said = capsys.readouterr()
    assert "folder" in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    "options",
    [["--size", "33"], ["--size", "x"], ["--max-bytes", "0"], ["--max-bytes", "-3"], ["--wrong"]],
    ids=str,
)
def test_encode_rejects_invalid_options(picture: Path, options: list[str]) -> None:
    assert usage_error("encode", picture, *options)
    assert not name_of_stream(picture).exists()


@pytest.mark.parametrize(
    ("content", "message"), [(b"no picture", "none of"), (b"\x89PNG\r\n\x1a\n", "decoded")]
)
def test_encode_rejects_files_that_are_not_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    assert main("encode", path) == 1
    said = capsys.readouterr()
    assert said.err.startswith("thumbstream: ")
    assert message in said.err
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


def test_encode_says_that_a_file_is_truncated(
    tmp_path: Path, pixels: Pixels, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cut.jpg"
    Image.fromarray(pixels).resize((640, 480)).save(path, quality=95)
    path.write_bytes(path.read_bytes()[:-40])
    assert main("encode", path) == 0
    assert f"{path}: the end of the file is missing" in capsys.readouterr().err


def test_encode_names_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("encode", tmp_path / "absent.png") == 1
    assert "absent.png" in capsys.readouterr().err


def test_encode_with_an_unknown_model(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("encode", picture, "--model", "absent") == 1
    assert installed_models().installed[0] in capsys.readouterr().err


# decode


@pytest.mark.parametrize(("suffix", "form"), [(".png", "PNG"), (".webp", "WEBP"), (".PNG", "PNG")])
def test_decode(tmp_path: Path, stored: Path, stream: bytes, suffix: str, form: str) -> None:
    out = tmp_path / f"out{suffix}"
    assert main("decode", stored, "-o", out) == 0
    with Image.open(out) as image:
        assert image.format == form
        assert image.size == (32, 24)
        if form == "PNG":
            np.testing.assert_array_equal(np.asarray(image), thumbstream.decode(stream))


def test_decode_a_prefix_enlarged(tmp_path: Path, stored: Path, stream: bytes) -> None:
    out, plain = tmp_path / "out.png", tmp_path / "plain.png"
    assert main("decode", stored, "-o", out, "--bytes", "40", "--scale", "3") == 0
    assert main("decode", stored, "-o", plain, "--bytes", "40") == 0
    assert main("decode", stored, "-o", plain, "--bytes", "9") == 1  # it exists
    with Image.open(out) as image, Image.open(plain) as small:
        assert image.size == (96, 72)
        np.testing.assert_array_equal(np.asarray(small), thumbstream.decode(stream[:40]))


def test_decode_through_pipes(standard: Standard, stream: bytes) -> None:
    standard.give(stream)
    standard.catch()
    assert main("decode", "-", "-o", "-") == 0
    with Image.open(io.BytesIO(standard.out.getvalue())) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), thumbstream.decode(stream))


@pytest.mark.parametrize("name", ["out.jpg", "out", "out.ths"])
def test_decode_to_another_format(
    tmp_path: Path, stored: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main("decode", stored, "-o", tmp_path / name) != 0
    assert ".png and .webp" in capsys.readouterr().err
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("command", ["decode", "inspect", "truncate"])
@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0", b"\xe3\x7e\x10"], ids=repr)
def test_rejects_bytes_that_are_not_a_stream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, content: bytes
) -> None:
    path, out = tmp_path / "bad.ths", tmp_path / "out.png"
    path.write_bytes(content)
    options = {"decode": ["-o", out], "inspect": [], "truncate": ["-o", out, "--bytes", "3"]}
    assert main(command, path, *options[command]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("thumbstream: ")
    assert said.out == ""
    assert not out.exists()


@pytest.mark.parametrize("command", ["decode", "inspect", "truncate"])
def test_names_a_missing_stream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    options = {"decode": ["-o", "-"], "inspect": [], "truncate": ["--bytes", "3"]}
    assert main(command, tmp_path / "absent.ths", *options[command]) == 1
    assert "absent.ths" in capsys.readouterr().err


# inspect


def test_inspect(stored: Path, stream: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("inspect", stored, "--json") == 0
    facts = thumbstream.inspect(stream)
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(facts))
    assert main("inspect", stored) == 0
    printed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert printed.keys() == facts.keys()
    assert printed["aspect_ratio"] == ":".join(map(str, facts["aspect_ratio"]))
    plain = {name: value for name, value in facts.items() if isinstance(value, int | float | str)}
    assert {name: printed[name] for name in plain} == {n: str(value) for n, value in plain.items()}


def test_inspect_of_a_pipe(
    standard: Standard, stream: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    standard.give(stream[:17])
    assert main("inspect", "-", "--json") == 0
    assert json.loads(capsys.readouterr().out)["length"] == 17


# truncate


@pytest.mark.parametrize("count", [1, 2, 64, 10**6])
def test_truncate(tmp_path: Path, stored: Path, stream: bytes, count: int) -> None:
    out = tmp_path / "cut.ths"
    assert main("truncate", stored, "--bytes", str(count), "-o", out) == 0
    assert out.read_bytes() == stream[:count]


def test_truncate_through_pipes(standard: Standard, stream: bytes) -> None:
    standard.give(stream)
    standard.catch()
    assert main("truncate", "-", "--bytes", "32") == 0
    assert standard.out.getvalue() == stream[:32]


def test_truncate_in_place(stored: Path, stream: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("truncate", stored, "--bytes", "32", "-o", stored) == 1
    assert "use --force" in capsys.readouterr().err
    assert stored.read_bytes() == stream
    assert main("truncate", stored, "--bytes", "32", "-o", stored, "--force") == 0
    assert stored.read_bytes() == stream[:32]


@pytest.mark.parametrize("options", [[], ["--bytes", "0"], ["--bytes", "many"]], ids=str)
def test_truncate_rejects_invalid_options(stored: Path, stream: bytes, options: list[str]) -> None:
    assert usage_error("truncate", stored, *options)
    assert stored.read_bytes() == stream


# models, serve


def test_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("models") == 0
    lines = capsys.readouterr().out.splitlines()
    assert tuple(line.split()[0] for line in lines) == installed_models().installed
    assert main("models", "--json") == 0
    manifests = json.loads(capsys.readouterr().out)
    assert manifests == [
        installed_models().manifest(model_id) for model_id in installed_models().installed
    ]


def test_serve_options_replace_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import thumbstream.server.app

    served = []
    monkeypatch.setattr(
        thumbstream.server.app, "serve", lambda settings: served.append(settings) or True
    )
    store = f"sqlite:///{tmp_path}/streams.db"
    assert main("serve", "--host", "127.0.0.9", "--port", "8123", "--store", store) == 0
    monkeypatch.setenv("THUMBSTREAM_PORT", "8124")
    monkeypatch.setenv("THUMBSTREAM_STORE", store)
    assert main("serve") == 0
    chosen, from_environment = served
    assert (chosen.host, chosen.port, chosen.store) == ("127.0.0.9", 8123, store)
    assert (from_environment.port, from_environment.store) == (8124, store)


def test_serve_rejects_an_invalid_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import thumbstream.server.app

    monkeypatch.setattr(
        thumbstream.server.app, "serve", lambda settings: pytest.fail("it was started")
    )
    assert main("serve", "--port", "99999999") == 1
    assert capsys.readouterr().err.startswith("thumbstream: ")


# the command line itself


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["--wrong"], ["encode"], ["decode", "x"]])
def test_rejects_invalid_command_lines(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert usage_error(*arguments)
    assert "usage: thumbstream" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(command, "--help")
    assert caught.value.code == 0
    assert f"usage: thumbstream {command}" in capsys.readouterr().out


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main("--help")
    said = capsys.readouterr().out
    assert set(re.findall(r"^    ([a-z-]+)(?: |$)", said, re.MULTILINE)) == set(COMMANDS)
    assert all(command in (cli.__doc__ or "") for command in COMMANDS)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main("--version")
    assert caught.value.code == 0
    assert capsys.readouterr().out.strip() == thumbstream.__version__


def test_an_interrupt_is_status_130(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **options: Any) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(encode_command, "encode_picture", interrupted)
    assert main("encode", picture) == 130


# in a process of its own


def test_a_chain_of_pipes(picture: Path, stream: bytes) -> None:
    encoded = run("encode", "-", stdin=picture.read_bytes())
    assert (encoded.returncode, encoded.stdout, encoded.stderr) == (0, stream, b"")
    cut = run("truncate", "-", "--bytes", "64", stdin=encoded.stdout)
    assert cut.stdout == stream[:64]
    decoded = run("decode", "-", "-o", "-", stdin=cut.stdout)
    with Image.open(io.BytesIO(decoded.stdout)) as image:
        np.testing.assert_array_equal(np.asarray(image), thumbstream.decode(stream[:64]))


def test_exit_status_of_the_process(picture: Path, tmp_path: Path) -> None:
    failed = run("encode", tmp_path / "absent.png")
    assert (failed.returncode, failed.stdout) == (1, b"")
    assert failed.stderr.startswith(b"thumbstream: ")
    assert b"Traceback" not in failed.stderr
    assert run("encode").returncode == 2


@pytest.mark.parametrize("command", ["truncate", "inspect", "models"])
def test_a_broken_pipe_is_not_an_error(stored: Path, command: str) -> None:
    """``thumbstream ... | head`` ends in silence, whether the output was bytes or text."""
    options = {"truncate": [stored, "--bytes", "99"], "inspect": [stored], "models": ["--json"]}
    read, write = os.pipe()
    os.close(read)
    try:
        process = subprocess.run(
            [*PROGRAM, command, *map(str, options[command])],
            stdout=write,
            stderr=subprocess.PIPE,
            timeout=TIMEOUT_S,
            env=environment(),
        )
    finally:
        os.close(write)
    assert (process.returncode, process.stderr) == (0, b"")
