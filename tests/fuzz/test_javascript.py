"""Browser and Python agree on spoilt streams: on what is none, and on every symbol count."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

from fuzz_guided import CORPUS
from fuzz_mutations import MUTATIONS
from node import NODE, needs_node

from thumbstream.codec.bitstream import parse_header
from thumbstream.errors import BitstreamError
from thumbstream.models import installed_models

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "service" / "thumbstream" / "web" / "client" / "client.bin"
STREAMS = 200
SECONDS = 120


def spoilt() -> list[bytes]:
    """Each committed input, and mutations of them; no empty line among the digits."""
    rng = random.Random(20240611)
    seeds = [path.read_bytes() for path in sorted((CORPUS / "streams").iterdir())]
    mutated = (
        MUTATIONS[rng.choice(list(MUTATIONS))](rng, bytearray(rng.choice(seeds)))
        for _ in range(STREAMS)
    )
    return [stream for stream in (*seeds, *mutated) if stream]


@needs_node
def test_the_browser_reads_spoilt_streams_as_python_does() -> None:
    codec = installed_models("cpu").load()
    streams = [stream for stream in spoilt() if small(stream)]
    answered = subprocess.run(
        [str(NODE), str(ROOT / "tests" / "web" / "client-decode.mjs"), str(CLIENT)],
        input="\n".join(stream.hex() for stream in streams),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    answers = list(map(json.loads, answered.stdout.splitlines()))
    assert len(answers) == len(streams)
    read = 0
    for stream, answer in zip(streams, answers, strict=True):
        try:
            facts = codec.inspect(stream)
        except BitstreamError:
            assert answer == {"error": "BitstreamError"}, stream.hex()
            continue
        assert "error" not in answer, stream.hex()
        for name in ("wasm", "plain"):
            assert answer[name]["known"] == facts["symbols"], stream.hex()
            assert (answer[name]["width"], answer[name]["height"]) == (
                facts["width"],
                facts["height"],
            ), stream.hex()
        read += 1
    assert 0 < read < len(streams)


def small(stream: bytes) -> bool:
    """Whether decoding it twice in JavaScript takes milliseconds."""
    try:
        header = parse_header(stream)
    except BitstreamError:
        return True
    return max(header.width, header.height) <= 64
