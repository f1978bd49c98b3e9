"""Yardsticks and targets of the benchmark, without the servers of other makers."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def peers() -> ModuleType:
    from loadtest.lib import peers

    return peers


@pytest.fixture
def targets() -> ModuleType:
    from loadtest.lib import targets

    return targets


FOLDER_SERVER = """
import http.server, os, sys
os.chdir(sys.argv[1])
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[2]), bind="127.0.0.1")
"""


def test_a_peer_serves_the_files_and_leaves_nothing(peers: ModuleType, tmp_path: Path) -> None:
    from loadtest.lib import servers

    program = tmp_path / "server.py"
    program.write_text(FOLDER_SERVER)
    peer = peers.Peer(
        "1",
        lambda folder: folder / "server.py",
        lambda _folder: pytest.fail("it is there already"),
        lambda path, files, port, threads: [sys.executable, str(path), str(files), str(port)],
        lambda threads: {"THREADS": str(threads)},
        "/0.jpg",
        lambda name, side: f"/{name}.jpg",
    )
    assert peers.installed(peer, tmp_path) == program
    with peers.serving(peer, program, [b"first", b"second"], 2) as (process, port):
        assert servers.request(port, "GET", peer.path("1", 32))[2] == b"second"
        assert servers.cpu_seconds(process.pid) is None or servers.cpu_seconds(process.pid) > 0
    assert process.poll() is not None
    with pytest.raises(OSError, match="refused"):
        servers.request(port, "GET", "/0.jpg")


def test_what_is_not_there_is_installed_once(peers: ModuleType, tmp_path: Path) -> None:
    calls: list[Path] = []

    def install(folder: Path) -> None:
        calls.append(folder)
        (folder / "program").touch()

    peer = peers.Peer("1", lambda f: f / "program", install, None, None, "/", None)
    for _ in range(2):
        assert peers.installed(peer, tmp_path / "new").exists()
    assert calls == [tmp_path / "new"]


@pytest.mark.parametrize("name", ["thumbor", "ipx"])
def test_peers_keep_no_results(peers: ModuleType, tmp_path: Path, name: str) -> None:
    command = peers.PEERS[name].command(tmp_path / name, tmp_path, 8123, 3)
    assert "8123" in command
    assert command[0] == str(tmp_path / name)
    if name == "thumbor":
        conf: dict[str, Any] = {}
        exec((tmp_path / "thumbor.conf").read_text(), conf)
        assert conf["RESULT_STORAGE"] is None
        assert conf["STORAGE"].endswith("no_storage")
        assert conf["FILE_LOADER_ROOT_PATH"] == str(tmp_path)
        assert command[command.index("--processes") + 1] == "3"
    assert peers.PEERS[name].path("0", 32).endswith("/0.jpg")


def report(**changed: float) -> dict[str, Any]:
    values = {
        "thumb": 0.75,
        "fastapi": 8.0,
        "many": 0.75,
        "second": 0.6,
        "p99": 2.0,
        "during": 0.8,
        "during_p99": 1.9,
        "batch": 90_000.0,
        "large": 0.7,
        "sharp": 1.29,
    } | changed
    return {
        "thumb": {
            "ratio": 0.9,
            "cpu_ratio": values["thumb"],
            "measured": [{"p99_ms": values["p99"]}],
            "yardstick": [{"p99_ms": 1.0, "per_second": 10_000.0}],
        },
        "fastapi": {"ratio": values["fastapi"]},
        "many": {"ratio": values["many"]},
        "second": {"ratio": values["second"]},
        "during_uploads": {
            "ratio": values["during"],
            "cpu_ratio": 0.1,  # reads are to be served: their rate counts
            "measured": [{"p99_ms": values["during_p99"]}],
            "yardstick": [{"p99_ms": 1.0}],
        },
        "batch": {"thumbs_per_second": values["batch"]},
        "compress": {"12 megapixel JPEG": {"ratio": values["large"]}},
        "cost": {"12 megapixel JPEG": {"ratio": values["sharp"]}, "pictures of x": {"ratio": 9.0}},
        "peers": {"another": {"ratio": values.get("peer", 2.0)}},
    }


def test_targets_are_met_on_the_line(targets: ModuleType) -> None:
    judged = targets.judged(report())
    assert all(one["met"] for one in judged)
    assert judged[0]["by_rate"] == 0.9
    assert targets.text(judged).count(" met ") == len(judged) == 11


@pytest.mark.parametrize(
    ("place", "changed"),
    [
        (0, {"thumb": 0.74}),
        (1, {"fastapi": 4.9}),
        (2, {"many": 0.74}),
        (3, {"second": 0.59}),
        (4, {"p99": 3.0}),
        (5, {"during": 0.79}),
        (6, {"during_p99": 2.0}),
        (7, {"batch": 79_999.0}),
        (8, {"large": 0.699}),
        (9, {"sharp": 1.3}),
        (10, {"peer": 1.99}),
    ],
)
def test_and_missed_below(targets: ModuleType, place: int, changed: dict[str, float]) -> None:
    judged = targets.judged(report(**changed))
    assert [i for i, one in enumerate(judged) if not one["met"]] == [place]
    assert "missed" in targets.text(judged)
