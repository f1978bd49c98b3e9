"""Model folders: every byte must match the manifest, and the manifest must be valid."""

from __future__ import annotations

import io
import json
import zipfile
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from codec_folders import (
    COMMON,
    FILES,
    ITERATIVE,
    LAPPED,
    ZOO,
    Change,
    copied_folder,
    entry,
    small_folder,
    state,
)

from thumbstream.codec.base import open_codec
from thumbstream.codec.iterative.params import NETWORKS, IterativeParams
from thumbstream.codec.lapped.params import LappedParams
from thumbstream.codec.model_folder import (
    MAX_FILE_BYTES,
    Artifact,
    StateTensor,
    open_artifact,
    read_manifest,
)
from thumbstream.errors import ArtifactError
from thumbstream.models import installed_models


def put(*path: str | int, value: Any) -> Change:
    """A change of one nested value of the manifest."""

    def change(manifest: dict[str, Any]) -> None:
        inner: Any = manifest
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value

    return change


def drop(*path: str | int) -> Change:
    def change(manifest: dict[str, Any]) -> None:
        inner: Any = manifest
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]

    return change


def test_reads_a_valid_folder(tmp_path: Path) -> None:
    artifact = open_artifact(small_folder(tmp_path / "small"))
    assert artifact.files == FILES
    assert (artifact.model_id, artifact.family) == ("small", "conv_lstm")
    assert (artifact.bitstream_id, artifact.stride) == (3, 8)
    assert artifact.manifest["measured"] == {}


def test_reads_iterative_params(tmp_path: Path) -> None:
    layout = IterativeParams.from_artifact(open_artifact(small_folder(tmp_path / "small")))
    assert layout == IterativeParams(
        planes=2,
        iterations=3,
        reconstruction="one_shot",
        weights="shared",
        cell_stops=False,
        residual_gains=(1.0, 2.0, 2.5),
        states={
            "analysis": (StateTensor("h", 4, 1), StateTensor("c", 4, 1)),
            "synthesis": (StateTensor("h1", 4, 1),),
        },
    )
    assert layout.file_of("analysis", 2) == "analysis.onnx"
    assert replace(layout, weights="per_stage").file_of("analysis", 2) == "analysis-02.onnx"


def test_reads_lapped_params(tmp_path: Path) -> None:
    layout = LappedParams.from_artifact(
        open_artifact(small_folder(tmp_path / "small", family=LAPPED))
    )
    assert layout == LappedParams(groups=(1, 2, 3), planes=8, look=5)
    assert (layout.channels, layout.first) == (6, 1)


@pytest.mark.parametrize("model_id", installed_models().installed)
def test_published_folders_are_valid(model_id: str) -> None:
    artifact = open_artifact(ZOO / model_id)
    assert artifact.model_id == model_id
    if artifact.family == "lapped":
        assert LappedParams.from_artifact(artifact).channels >= 1
        networks = {"analysis.onnx", "refinement.onnx", "synthesis.onnx"}
        tables = {"linear.npz", "look.npz", "contexts.npz"}
    else:
        layout = IterativeParams.from_artifact(artifact)
        times = range(layout.iterations)
        networks = {layout.file_of(name, t) for name in NETWORKS for t in times}
        tables = {"entropy.npz"}
    assert set(artifact.files) == networks | tables
    assert (
        artifact.manifest == read_manifest(ZOO / model_id) == installed_models().manifest(model_id)
    )


def test_published_bitstream_ids_are_unique() -> None:
    ids = [
        installed_models().manifest(model_id)["bitstream_id"]
        for model_id in installed_models().installed
    ]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", FILES)
def test_detects_a_change_of_any_byte(tmp_path: Path, name: str) -> None:
    folder = small_folder(tmp_path / "small")
    for i in range(len(FILES[name])):
        spoilt = bytearray(FILES[name])
        spoilt[i] ^= 1 << i % 8
        (folder / name).write_bytes(spoilt)
        with pytest.raises(ArtifactError, match=f"^{name}: (SHA-256 mismatch|length differs)"):
            open_artifact(folder)
    (folder / name).write_bytes(FILES[name])
    assert open_artifact(folder).files == FILES


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 5000], ids=["empty", "short", "long"])
def test_rejects_wrong_file_size(tmp_path: Path, name: str, content: bytes) -> None:
    folder = small_folder(tmp_path / "small")
    content = content + FILES[name] if len(content) > 1 else FILES[name][: len(content) - 1]
    (folder / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=r"(SHA-256 mismatch|length differs)"):
        open_artifact(folder)


@pytest.mark.parametrize("name", FILES)
def test_rejects_missing_file(tmp_path: Path, name: str) -> None:
    folder = small_folder(tmp_path / "small")
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=f"^{name}: No such file"):
        open_artifact(folder)


def test_rejects_folder_instead_of_file(tmp_path: Path) -> None:
    folder = small_folder(tmp_path / "small")
    (folder / "entropy.npz").unlink()
    (folder / "entropy.npz").mkdir()
    with pytest.raises(ArtifactError, match=r"^entropy\.npz"):
        open_artifact(folder)


@pytest.mark.parametrize(
    "name",
    ["../small/entropy.npz", "/etc/hostname", "a/b", "..", ".", "", ".hidden", "b/", "a\0b"],
)
def test_rejects_paths_as_names(tmp_path: Path, name: str) -> None:
    change = put("files", name, value=entry(FILES["entropy.npz"]))
    with pytest.raises(ArtifactError):
        open_artifact(small_folder(tmp_path / "small", change))


def test_rejects_too_long_name(tmp_path: Path) -> None:
    change = put("files", "n" * 5000, value=entry(b"x"))
    with pytest.raises(ArtifactError):
        open_artifact(small_folder(tmp_path / "small", change))


@pytest.mark.parametrize("value", [0, 2, "1", None, False, 1.5, [1]], ids=repr)
def test_rejects_other_format(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ArtifactError, match="format 1"):
        open_artifact(small_folder(tmp_path / "small", put("format", value=value)))


def test_rejects_missing_format(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="format 1"):
        open_artifact(small_folder(tmp_path / "small", drop("format")))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "1", '"manifest"', "\ufeff{}", "[" * 100_000, '{"format": 1}'],
    ids=lambda text: text[:12] or "empty",
)
def test_rejects_invalid_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError):
        open_artifact(tmp_path)


def test_rejects_manifest_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b'{"format": "\xff\xfe"}')
    with pytest.raises(ArtifactError, match=r"no readable manifest\.json"):
        read_manifest(tmp_path)


def test_rejects_missing_manifest_or_folder(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ArtifactError, match=r"no readable manifest\.json"):
            open_artifact(folder)


def read_layout(folder: Path) -> object:
    """The parameters that a codec reads from a folder."""
    artifact = open_artifact(folder)
    layout = LappedParams if artifact.family == "lapped" else IterativeParams
    return layout.from_artifact(artifact)


FAMILIES = {"iterative": ITERATIVE, "lapped": LAPPED}
REQUIRED = [
    *(("iterative", key) for key in COMMON if key not in ("format", "training", "measured")),
    *((family, key) for family, keys in FAMILIES.items() for key in keys),
]


@pytest.mark.parametrize(("family", "key"), REQUIRED)
def test_rejects_missing_key(tmp_path: Path, family: str, key: str) -> None:
    with pytest.raises(ArtifactError, match=key):
        read_layout(small_folder(tmp_path / "small", drop(key), FAMILIES[family]))


INF = float("inf")
WRONG_TYPES: dict[str, list[Any]] = {
    "model_id": [None, 7, ["small"], {}],
    "family": [None, 7, ["conv_lstm"]],
    "bitstream_id": [None, "3", 1.5, True, INF, [3]],
    "stride": [None, "8", 8.5, True, INF, {}],
    "planes": [None, "2", 2.5, True, INF],
    "iterations": [None, "3", 3.5, True, INF],
    "reconstruction": [None, 1, "", "One_shot", "progressive", ["one_shot"]],
    "weights": [None, 1, "", "own", "per-stage", {"shared": True}],
    "cell_stops": [None, 0, 1, "true", "", []],
    "residual_gains": [None, 3, "123", {"0": 1}, [1, 2, "3"], [1, 2, None], [1, 2, INF]],
    "states": [
        None,
        {"analysis": []},
        {"synthesis": []},
        [],
        "h",
        4,
        {"analysis": [1], "synthesis": []},
        {"analysis": 5},
    ],
    "files": [None, [], "entropy.npz", 4, {"entropy.npz": None}, {"entropy.npz": []}],
}
WRONG_LAPPED: dict[str, list[Any]] = {
    "groups": [None, 6, "123", {}, [], [6], [0, 3, 3], [-1, 4, 3], [1, 2, True]],
    "planes": [None, "8", 8.0, True, 0, -1, 4, 65, 1 << 70],
    "look": [None, "5", 5.0, True, 0, -1, 9],
}
CASES = [
    *(("iterative", key, value) for key, values in WRONG_TYPES.items() for value in values),
    *(("lapped", key, value) for key, values in WRONG_LAPPED.items() for value in values),
]


@pytest.mark.parametrize(("family", "key", "value"), CASES, ids=lambda case: repr(case)[:30])
def test_rejects_invalid_value(tmp_path: Path, family: str, key: str, value: Any) -> None:
    change = put(key, value=value)
    with pytest.raises(ArtifactError):
        read_layout(small_folder(tmp_path / "small", change, FAMILIES[family]))


@pytest.mark.parametrize(
    "wrong",
    [
        {**state("h"), "channels": "4"},
        {**state("h"), "channels": 0},
        {**state("h"), "scale": -1},
        {**state("h"), "scale": 1.5},
        {**state("h"), "name": 3},
        {**state("h"), "surplus": 1},
        {"name": "h"},
        {},
    ],
    ids=str,
)
def test_rejects_invalid_state(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError):
        read_layout(small_folder(tmp_path / "small", put("states", "analysis", 0, value=wrong)))


@pytest.mark.parametrize("value", [-1, 128, 1 << 70])
def test_rejects_bitstream_id_out_of_range(tmp_path: Path, value: int) -> None:
    with pytest.raises(ArtifactError, match="bitstream id"):
        open_artifact(small_folder(tmp_path / "small", put("bitstream_id", value=value)))


@pytest.mark.parametrize("key", ["stride", "planes"])
@pytest.mark.parametrize("value", [0, -8])
def test_rejects_sizes_below_one(tmp_path: Path, key: str, value: int) -> None:
    with pytest.raises(ArtifactError, match="at least 1"):
        read_layout(small_folder(tmp_path / "small", put(key, value=value)))


@pytest.mark.parametrize("gains", [[], [1.0, 1.0], [1.0] * 4])
def test_rejects_wrong_number_of_gains(tmp_path: Path, gains: list[float]) -> None:
    with pytest.raises(ArtifactError, match="gain"):
        read_layout(small_folder(tmp_path / "small", put("residual_gains", value=gains)))


@pytest.mark.parametrize("gain", [0, 0.0, -1.0, float("nan")])
def test_rejects_gain_that_is_not_positive(tmp_path: Path, gain: float) -> None:
    with pytest.raises(ArtifactError, match="above 0"):
        read_layout(small_folder(tmp_path / "small", put("residual_gains", 1, value=gain)))


@pytest.mark.parametrize("key", ["sha256", "bytes"])
def test_rejects_incomplete_file_entry(tmp_path: Path, key: str) -> None:
    with pytest.raises(ArtifactError, match=key):
        open_artifact(small_folder(tmp_path / "small", drop("files", "entropy.npz", key)))


@pytest.mark.parametrize(
    "value", [0, -1, "1", None, 1.5, MAX_FILE_BYTES + 1, 1 << 80, INF], ids=repr
)
def test_rejects_invalid_size(tmp_path: Path, value: Any) -> None:
    change = put("files", "entropy.npz", "bytes", value=value)
    with pytest.raises(ArtifactError):
        open_artifact(small_folder(tmp_path / "small", change))


@pytest.mark.parametrize("value", ["", "0" * 64, None, 5, ["a"]], ids=repr)
def test_rejects_wrong_hash(tmp_path: Path, value: Any) -> None:
    change = put("files", "entropy.npz", "sha256", value=value)
    with pytest.raises(ArtifactError, match=r"(SHA-256 mismatch|length differs)"):
        open_artifact(small_folder(tmp_path / "small", change))


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def with_arrays(folder: Path, data: bytes) -> Artifact:
    small_folder(folder, put("files", "entropy.npz", value=entry(data)))
    (folder / "entropy.npz").write_bytes(data)
    return open_artifact(folder)


def test_reads_arrays(tmp_path: Path) -> None:
    arrays = with_arrays(tmp_path, npz(a=np.arange(3, dtype=np.int8), b=np.ones((2, 2)))).arrays(
        "entropy.npz"
    )
    assert set(arrays) == {"a", "b"}
    assert arrays["a"].tolist() == [0, 1, 2]
    assert arrays["a"].dtype == np.int8


GOOD = npz(w1=np.arange(200, dtype=np.uint8))
HUGE = npy(np.zeros(1, np.int8)).replace(b"(1,), }" + b" " * 20, b"(1" + b"0" * 20 + b",), }")
BROKEN_ARCHIVES = {
    "text": b"no archive",
    "only a magic": b"PK\x03\x04",
    "cut": GOOD[: len(GOOD) // 2],
    "without its end": GOOD[:-30],
    "checksum": GOOD.replace(bytes(range(90, 100)), bytes(10)),
    "one array": npy(np.zeros(3)),
    "a pickle": npy(np.array([{"a": 1}], dtype=object)),
    "pickles inside": npz(w1=np.array([{"a": 1}], dtype=object)),
    "no array inside": zipped("w1.npy", b"no array"),
    "an empty member": zipped("w1.npy", b""),
    "an array without its data": zipped("w1.npy", npy(np.zeros(100))[:-50]),
    "an array of a header only": zipped("w1.npy", HUGE),
}


@pytest.mark.parametrize("how", BROKEN_ARCHIVES)
def test_rejects_invalid_archive(tmp_path: Path, how: str) -> None:
    artifact = with_arrays(tmp_path, BROKEN_ARCHIVES[how])
    with pytest.raises(ArtifactError, match=r"entropy\.npz"):
        artifact.arrays("entropy.npz")


def test_rejects_an_archive_that_inflates_beyond_the_limit(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    half = np.zeros(MAX_FILE_BYTES // 2, np.uint8)  # with its header, more than half
    np.savez_compressed(buffer, a=half, b=half)
    assert len(buffer.getvalue()) < MAX_FILE_BYTES // 100
    with pytest.raises(ArtifactError, match=r"entropy\.npz: 67109\d\d\d bytes of arrays"):
        with_arrays(tmp_path, buffer.getvalue()).arrays("entropy.npz")


def test_rejects_arrays_of_missing_file(tmp_path: Path) -> None:
    artifact = open_artifact(small_folder(tmp_path))
    with pytest.raises(ArtifactError, match=r"other\.npz"):
        artifact.arrays("other.npz")


# The following tests open the codec of a published model.


@pytest.fixture(scope="module")
def model_id() -> str:
    return "conv-lstm-1"


def test_opens_copy_of_published_model(tmp_path: Path, model_id: str) -> None:
    codec = open_codec(copied_folder(model_id, tmp_path / model_id), device="cpu")
    assert codec.model_id == model_id
    assert codec.decode(b"\x07").shape == (8, 32, 3)


def test_rejects_unknown_family(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="unknown family 'wavelet'"):
        open_codec(small_folder(tmp_path / "small", put("family", value="wavelet")))


@pytest.mark.parametrize("name", FILES)
def test_rejects_unlisted_file(tmp_path: Path, model_id: str, name: str) -> None:
    folder = copied_folder(model_id, tmp_path / model_id, drop("files", name))
    with pytest.raises(ArtifactError, match=name):
        open_codec(folder, device="cpu")


@pytest.mark.parametrize("name", ["analysis.onnx", "synthesis.onnx"])
def test_rejects_invalid_network(tmp_path: Path, model_id: str, name: str) -> None:
    folder = copied_folder(model_id, tmp_path / model_id, contents={name: b"no network at all"})
    with pytest.raises(ArtifactError, match="network"):
        open_codec(folder, device="cpu")


def test_rejects_swapped_networks(tmp_path: Path, model_id: str) -> None:
    analysis = (ZOO / model_id / "analysis.onnx").read_bytes()
    folder = copied_folder(model_id, tmp_path / model_id, contents={"synthesis.onnx": analysis})
    with pytest.raises(ArtifactError):
        open_codec(folder, device="cpu")


@pytest.mark.parametrize("network", ["analysis", "synthesis"])
@pytest.mark.parametrize("how", ["missing", "one fewer", "another name", "another size"])
def test_rejects_states_that_networks_lack(
    tmp_path: Path, model_id: str, network: str, how: str
) -> None:
    change = {
        "missing": drop("states", network),
        "one fewer": drop("states", network, -1),
        "another name": put("states", network, 0, "name", value="other"),
        "another size": put("states", network, 0, "channels", value=3),
    }[how]
    folder = copied_folder(model_id, tmp_path / model_id, change)
    with pytest.raises(ArtifactError):
        open_codec(folder, device="cpu")


@pytest.mark.parametrize("key", ["planes", "iterations"])
def test_rejects_tables_of_another_model(tmp_path: Path, model_id: str, key: str) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest[key] += 1
        manifest["residual_gains"] = [1.0] * manifest["iterations"]

    folder = copied_folder(model_id, tmp_path / model_id, change)
    with pytest.raises(ArtifactError, match="tables do not match the manifest"):
        open_codec(folder, device="cpu")


def test_rejects_invalid_tables(tmp_path: Path, model_id: str) -> None:
    contents = {"entropy.npz": npz(w1=np.zeros(3, np.int8))}
    folder = copied_folder(model_id, tmp_path / model_id, contents=contents)
    with pytest.raises(ArtifactError, match="entropy table"):
        open_codec(folder, device="cpu")


SCHEMA = ZOO.parents[1] / "docs" / "manifest.schema.json"


@pytest.mark.parametrize("name", installed_models().installed)
def test_published_manifests_match_the_schema(name: str) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(read_manifest(ZOO / name))


def described(family: str, model_id: str) -> dict[str, Any]:
    """A manifest that is valid by the schema."""
    manifest = deepcopy(read_manifest(ZOO / model_id))
    if family == "lapped":
        files = ("analysis.onnx", "contexts.npz", "linear.npz", "look.npz", "synthesis.onnx")
        manifest = {key: manifest[key] for key in (*COMMON, "training", "measured")}
        manifest |= {**deepcopy(LAPPED), "files": {name: entry(b"x") for name in files}}
    return manifest


def is_described(manifest: dict[str, Any]) -> bool:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return bool(jsonschema.Draft202012Validator(schema).is_valid(manifest))


SPOILT = {
    "iterative": {
        "family": put("family", value="wavelet"),
        "other family": put("family", value="lapped"),
        "reconstruction": put("reconstruction", value="both"),
        "stages": put("weights", value="per_stage"),
        "stops": put("cell_stops", value=1),
        "name": put("files", "analysis-7.onnx", value=entry(b"x")),
        "tables": drop("files", "entropy.npz"),
        "weights": drop("weights"),
        "surplus": put("channels", value=6),
    },
    "lapped": {
        "other family": put("family", value="conv_lstm"),
        "planes": put("planes", value=65),
        "groups": put("groups", value=[6]),
        "look": put("look", value=0),
        "name": put("files", "analysis-00.onnx", value=entry(b"x")),
        "network": drop("files", "synthesis.onnx"),
        "no groups": drop("groups"),
        "surplus": put("iterations", value=3),
    },
}


@pytest.mark.parametrize(
    ("family", "how"), [(family, how) for family, changes in SPOILT.items() for how in changes]
)
def test_schema_rejects_invalid_manifests(model_id: str, family: str, how: str) -> None:
    manifest = described(family, model_id)
    assert is_described(manifest)
    SPOILT[family][how](manifest)
    assert not is_described(manifest)
