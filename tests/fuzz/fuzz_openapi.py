"""The service against its own OpenAPI document, by schemathesis.

    python tests/fuzz/fuzz_openapi.py --seconds 600

A service of the published default model is started on a free port with a token, some streams are
put into its store, and schemathesis sends it what the document allows and what it forbids. All
checks of schemathesis are on. Exceptions, which the document cannot express, are here and in
``openapi_hooks``, each with its reason.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from fuzz_ingest import seeds

from thumbstream.models import DEFAULT_MODEL

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # this is a program, too

from launch import Service  # noqa: E402

TOKEN = "a-token-of-this-run"
UPLOADS = ("png-rgb", "png-rgba", "jpeg", "webp")
"""Seeds of the target `ingest` whose streams the store holds."""

NEEDS_A_RANGE_OF_THE_STREAM = """\
Whether a range begins behind the last byte depends on the stream's length: 416 may follow."""
NEEDS_A_PICTURE = """\
A schema cannot tell pictures from other bytes: 415 and 422 may follow."""
NEEDS_A_STREAM = """\
Nor streams, of models that there are: 400 and 422 may follow."""

ACCEPTED = ["2xx", "3xx", "401", "404", "429"]
"""Of valid requests. 404: an id of no stream is an id."""


def configuration(ids: list[str]) -> str:
    """The text of schemathesis.toml for a service that holds ``ids``."""
    operations = (
        ("/thumb/{id}", "416", NEEDS_A_RANGE_OF_THE_STREAM),
        ("/t/{id}/{bytes}", "416", NEEDS_A_RANGE_OF_THE_STREAM),
        ("/compress", "415 422", NEEDS_A_PICTURE),
        ("/decode", "400 422", NEEDS_A_STREAM),
    )
    parts = [
        'hooks = "openapi_hooks"',
        "continue-on-failure = true",
        "request-timeout = 60.0",
        f"[dictionaries.ids]\nvalues = {json.dumps(ids)}",
        f"[dictionaries.lists]\nvalues = {json.dumps([f'{ids[0]}:9,{ids[1]}', ','.join(ids)])}",
        '[parameters]\nid = {dictionary = "ids", probability = 0.6}',
        'ids = {dictionary = "lists", probability = 0.6}',
        '[generation]\ndeterministic = false\ndatabase = ":memory:"',
        f"[checks.positive_data_acceptance]\nexpected-statuses = {json.dumps(ACCEPTED)}",
    ]
    for path, more, reason in operations:
        statuses = json.dumps([*ACCEPTED, *more.split()])
        parts.append(
            f"[[operations]] # {reason}\ninclude-path = {json.dumps(path)}\n"
            f"checks.positive_data_acceptance.expected-statuses = {statuses}"
        )
    return "\n".join(parts) + "\n"


@contextmanager
def service(folder: Path) -> Iterator[str]:
    """The address of a service of the published default model."""
    settings = {
        "THUMBSTREAM_STORE": f"sqlite:///{folder}/streams.db",
        "THUMBSTREAM_TOKENS": TOKEN,
        "THUMBSTREAM_MODELS": DEFAULT_MODEL,
    }
    running = Service(folder, settings)
    running.start()
    try:
        yield running.url
        assert running.is_ready(), f"the service ended:\n{running.output()[-2000:]}"
    finally:
        running.stop()


def uploaded(address: str) -> list[str]:
    """Ids of the streams of some pictures, uploaded now."""
    files = dict(seeds())
    ids = []
    for name in UPLOADS:
        made = httpx.post(
            f"{address}/compress",
            content=files[name],
            headers={"Content-Type": "image/*", "Authorization": f"Bearer {TOKEN}"},
        )
        made.raise_for_status()
        ids.append(made.json()["id"])
    return ids


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """``schemathesis run`` with these arguments against a service of its own."""
    with tempfile.TemporaryDirectory() as name, service(Path(name)) as address:
        config = Path(name) / "schemathesis.toml"
        config.write_text(configuration(uploaded(address)))
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
        command += [f"{address}/openapi.json", "--checks", "all", "--no-color"]
        command += ["--header", f"Authorization: Bearer {TOKEN}", *arguments]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
        return subprocess.run(
            command, cwd=name, env=environment, capture_output=True, text=True, check=False
        )


def main() -> int:
    """Command line; schemathesis's exit status."""
    parser = argparse.ArgumentParser(description="Hold the service against its OpenAPI document.")
    parser.add_argument("--seconds", type=int, default=60, help="for all of it (default: 60)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    args = parser.parse_args()
    ended = run("--seed", str(args.seed), "--max-time", str(args.seconds))
    print(ended.stdout, ended.stderr)
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
