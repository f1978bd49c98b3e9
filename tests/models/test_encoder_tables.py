"""The module with the tables of the JavaScript encoder."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import thumbstream
from thumbstream.codec.lapped.linear_codec import LinearCodec
from thumbstream.codec.model_folder import Artifact, open_artifact
from thumbstream.encoding import EncodeOptions, encode_picture
from thumbstream_models.lapped import encoder_tables

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "codec"))

from codec_lapped import lapped_folder
from codec_pictures import cut_out, photo_like
from node import NODE, needs_node

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "service" / "thumbstream" / "web" / "client"
SAMPLES = CLIENT.parent / "samples"
ENCODE = ROOT / "tests" / "web" / "encode-picture.mjs"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return open_artifact(lapped_folder(tmp_path_factory.mktemp("zoo") / "tiny-lapped"))


def encoded(pictures: list[Image.Image], client: Path) -> list[str]:
    """Streams by the encoder in the folder ``client``."""
    assert NODE is not None
    lines = [
        json.dumps(
            {
                "width": picture.width,
                "height": picture.height,
                "rgba": base64.b64encode(picture.tobytes()).decode(),
            }
        )
        for picture in pictures
    ]
    command = [NODE, str(ENCODE), str(client)]
    found = subprocess.run(
        command, input="\n".join(lines), capture_output=True, text=True, check=True, timeout=120
    )
    return found.stdout.split()


@needs_node
def test_an_encoder_with_the_module_has_the_bytes_of_python(
    artifact: Artifact, tmp_path: Path
) -> None:
    for file in CLIENT.glob("*.js"):
        shutil.copy(file, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    encoder_tables.write(artifact, tmp_path)
    codec = LinearCodec(artifact)
    pixels = photo_like(0, 32, 21), photo_like(1, 96, 120), cut_out(2, 40, 32)
    pictures = [Image.fromarray(one).convert("RGBA") for one in pixels]
    expected = [encode_picture(one, EncodeOptions(), codec).stream.hex() for one in pictures]
    assert encoded(pictures, tmp_path) == expected


@needs_node
def test_the_published_encoder_has_the_bytes_of_python() -> None:
    pictures = [Image.open(path).convert("RGBA") for path in sorted(SAMPLES.glob("*.jpg"))]
    expected = [thumbstream.encode(one, effort="fast").hex() for one in pictures]
    assert encoded(pictures, CLIENT) == expected


def test_the_published_module_is_that_of_the_model() -> None:
    expected = encoder_tables.module(open_artifact(ROOT / "models" / "zoo" / "thumbstream-2"))
    assert (CLIENT / encoder_tables.MODULE).read_text() == expected


def test_tables_are_exact(artifact: Artifact) -> None:
    text = encoder_tables.module(artifact)
    values = dict(line.strip(" ,").split(": ", 1) for line in text.splitlines()[2:-1])
    letters = json.loads(values["klt"].replace("\\x", "\\u00"))
    codes = np.array([ord(letter) for letter in letters]) - encoder_tables.SHIFT
    planes = codes.astype(np.uint8)
    klt = np.ascontiguousarray(planes.reshape(4, -1).T).view("<f4")
    linear = artifact.arrays("linear.npz")
    np.testing.assert_array_equal(klt.ravel(), linear["klt"].ravel())
    scales = np.array(json.loads(values["scales"]), np.float32)
    np.testing.assert_array_equal(scales, linear["scales"])
