"""The parts of a model that a browser needs, in one small file.

layout, integer tables, synthesis weights -> bytes, one kind of number after the other -> zlib.
`client_color` has the same for the first steps of a stream, from which a client decodes the mean
color before the file is loaded. Everything is computed from the model folder. Normative text:
docs/javascript.md.

``thumbstream-models client MODEL FOLDER`` writes both files.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.embedded.params import EmbeddedParams
from thumbstream.codec.model_folder import Artifact
from thumbstream_models.embedded import client_color
from thumbstream_models.embedded.client_synthesis import ClientSynthesis, Layer, synthesis_of
from thumbstream_models.lapped.client_packing import Section, halves, integers, wide
from thumbstream_models.lapped.client_packing import packed as zipped

MAGIC = b"THSC"
FORMAT = 1
CLIENT, PUBLISHED = "client.bin", "model_colors.generated.js"
"""Names of the two files that `write` writes."""
_WIDE = ("own", "gain", "b1", "bm", "b2")
"""Tables of 16 and 32 bits, in the order of the file."""
_BY_PLANE = ("gain", "b1", "b2")


@dataclass(frozen=True, slots=True)
class Client:
    """Contents of the file."""

    layout: EmbeddedParams
    tables: dict[str, NDArray[np.generic]]
    """As in ``entropy.npz``."""
    steps: int
    """Number of steps of a stream that it decodes."""
    synthesis: ClientSynthesis
    rest: bool = False
    """Whether the numbers in the tables of `color_of` the same model are set to 0."""

    @property
    def planes(self) -> int:
        """Number of planes of these steps."""
        return client_color.steps_of(self.layout)[self.steps - 1].plane + 1


def client_of(artifact: Artifact) -> Client:
    """All parts of ``artifact`` for a browser; raises `ValueError` for other networks."""
    layout, tables = EmbeddedParams.from_artifact(artifact), artifact.arrays("entropy.npz")
    return client_from(layout, tables, artifact.file("synthesis.onnx"))


def client_from(
    layout: EmbeddedParams, tables: dict[str, NDArray[np.generic]], synthesis: bytes
) -> Client:
    """The same from its parts; ``synthesis`` is the published graph."""
    return Client(layout, tables, len(client_color.steps_of(layout)), synthesis_of(synthesis))


def color_of(artifact: Artifact) -> Client:
    """The parts that decode the mean color from the first bytes."""
    layout = EmbeddedParams.from_artifact(artifact)
    lead = client_color.lead_of(layout)
    part, tables = client_color.part_of(layout, artifact.arrays("entropy.npz"), lead)
    return Client(part, tables, len(lead), client_color.fitted(artifact, lead))


def rest_of(artifact: Artifact) -> Client:
    """The parts of `client_of` that `color_of` does not have."""
    client = client_of(artifact)
    lead = client_color.lead_of(client.layout)
    _, part = client_color.part_of(client.layout, client.tables, lead)
    tables = client_color.without(client.tables, part)
    return dataclasses.replace(client, tables=tables, rest=True)


def client_file(artifact: Artifact) -> bytes:
    """``client.bin`` of a published model: the same bytes whenever zlib is the same."""
    return file_of(rest_of(artifact), artifact.model_id, artifact.bitstream_id)


def file_of(client: Client, model_id: str, bitstream_id: int) -> bytes:
    """The file for a model of this name and id."""
    name = model_id.encode("ascii")
    head = MAGIC + bytes([FORMAT, bitstream_id, len(name)]) + name
    return head + zipped(sections(client))


def payload(client: Client) -> bytes:
    """What `client_file` holds, before it is compressed."""
    return b"".join(section.data for section in sections(client))


def sections(client: Client) -> list[Section]:
    """Arrays in the order of the file; each is compressed with a code of its own where it pays."""
    return [*_layout(client), *_halves(client), *_bytes(client), *_words(client)]


def write(artifact: Artifact, folder: Path) -> None:
    """Write `CLIENT`, and `PUBLISHED` with its hash and the tables of the color."""
    data = client_file(artifact)
    (folder / CLIENT).write_bytes(data)
    (folder / PUBLISHED).write_text(published_js(artifact, data), encoding="ascii")


def published_js(artifact: Artifact, data: bytes) -> str:
    """The module that a JavaScript client knows its model from."""
    color = payload(color_of(artifact))
    digest = hashlib.sha256(data).digest()
    text = json.dumps("".join(chr((byte + _SHIFT) % 256) for byte in color))
    lines = {
        "MODEL_ID": json.dumps(artifact.model_id),
        "BITSTREAM_ID": str(artifact.bitstream_id),
        "WEIGHTS_INTEGRITY": json.dumps(f"sha256-{base64.b64encode(digest).decode()}"),
        "COLOR_TABLES": text.replace("\\u00", "\\x"),
    }
    title = (
        "/** Generated by thumbstream_models.embedded.client_file:"
        f" {artifact.model_id}. docs/javascript.md */"
    )
    return "\n".join([title, *(f"export const {k} = {v};" for k, v in lines.items()), ""])


_SHIFT = 80
"""Added to the bytes, which are mostly small integers, to make them letters."""


def _layout(client: Client) -> Iterable[Section]:
    """One line of JSON."""
    layout, tables, synthesis = client.layout, client.tables, client.synthesis
    hidden, second = tables["m"].shape
    values = {
        "planes": client.planes,
        "finest": layout.planes,
        "groups": layout.groups,
        "starts": layout.starts,
        "steps": client.steps,
        "hidden": hidden,
        "second": second,
        "shifts": tables["shifts"].tolist(),
        "predictionShifts": tables["prediction_shifts"][: client.planes].tolist(),
        "baseStep": layout.base_step,
        "valueScale": synthesis.value_scale,
        "levelScale": synthesis.level_scale,
        "levelOffset": synthesis.level_offset,
        "detail": synthesis.detail,
        "layers": [_described(layer) for layer in synthesis.layers],
        "rest": int(client.rest),
    }
    yield Section(json.dumps(values, separators=(",", ":")).encode("ascii") + b"\n")


def _described(layer: Layer) -> dict[str, int]:
    outs, ins, taps = layer.weight.shape
    return {"kind": layer.kind, "outs": outs, "ins": ins, "taps": taps, "relu": int(layer.relu)}


def _halves(client: Client) -> Iterable[Section]:
    """Scales of all outputs, then biases."""
    for name in ("scale", "bias"):
        values = [getattr(layer, name) for layer in client.synthesis.layers]
        yield from halves(np.concatenate(values))


def _bytes(client: Client) -> Iterable[Section]:
    """Integers of 8 bits, grouped by input: inputs differ more than outputs."""
    tables, channels = client.tables, client.layout.channels
    for name in ("a", "b", "predictor"):
        by_feature = tables[name].reshape(channels, -1, tables[name].shape[1]).transpose(1, 0, 2)
        yield from (Section(integers(feature)) for feature in by_feature)
    yield Section(integers(tables["m"]))
    yield from (Section(integers(tables[name].transpose(2, 0, 1))) for name in ("w2", "w3"))
    for layer in client.synthesis.layers:
        yield Section(integers(layer.weight.transpose(1, 2, 0)))


def _words(client: Client) -> Iterable[Section]:
    """Wider integers; of the probabilities, which increase smoothly, the second differences."""
    for name in _WIDE:
        table = client.tables[name]
        yield from wide(table[: client.planes] if name in _BY_PLANE else table)
    probabilities = client.tables["probability"].astype(np.int64)
    yield from wide(np.diff(np.concatenate([[0, 0], probabilities]), n=2))
