"""Several processes behind one port: really started, really killed."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from service_harness import Launch, Launched
from service_stand_ins import photo

PNG = {"Content-Type": "image/png"}
HTTP = httpx.Client(timeout=60, limits=httpx.Limits(max_keepalive_connections=0))
"""A connection for every request, without the certificates that httpx.get reads for each."""


def two(launch: Launch, folder: Path, *, hung_seconds: str = "60") -> Launched:
    return launch(
        THUMBSTREAM_PROCESSES="2",
        THUMBSTREAM_STORE=f"sqlite:///{folder}/streams.db",
        THUMBSTREAM_ACCESS_LOG="true",
        THUMBSTREAM_DRAIN_SECONDS="3",
        STAND_IN_GATE=str(folder / "gate"),
        STAND_IN_HUNG_SECONDS=hung_seconds,
    )


@pytest.fixture(scope="module")
def pair(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Launched:
    """The same for all tests but one, which may kill its processes, for others take their place."""
    folder = tmp_path_factory.mktemp("pair")
    (folder / "gate").touch()
    return two(launch, folder, hung_seconds="4")


def patiently(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def metric(server: Launched, name: str) -> float:
    """The value of the one sample whose name and labels are ``name``."""
    text = HTTP.get(f"{server.url}/metrics").text
    [value] = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(value)


def children(server: Launched) -> list[int]:
    """Process numbers of all that ever were, in the order of their starts."""
    started = re.compile(r"Started server process \[(\d+)\]")
    return [int(found[1]) for line in server.lines if (found := started.search(line))]


def who_answered(server: Launched) -> set[int]:
    """Process numbers in the access log."""
    line = re.compile(r"observe\[(\d+)\]: request .*route=/healthz")
    return {int(found[1]) for text in server.lines if (found := line.search(text))}


def test_both_serve_and_count_together(pair: Launched) -> None:
    for _ in range(40):
        assert HTTP.get(f"{pair.url}/healthz").status_code == 200
    patiently(lambda: who_answered(pair) == set(children(pair)))
    assert len(children(pair)) == 2
    counted = 'thumbstream_requests_total{route="/healthz",status="200"} 40.0'
    patiently(lambda: counted in HTTP.get(f"{pair.url}/metrics").text)
    assert metric(pair, 'thumbstream_request_seconds_count{route="/healthz"}') == 40
    assert metric(pair, "thumbstream_processes") == 2
    assert metric(pair, "thumbstream_process_starts_total") == 2
    # This one, and perhaps what the sibling showed when it was asked less than a second ago.
    assert metric(pair, "thumbstream_requests_in_flight") in (1, 2)
    text = HTTP.get(f"{pair.url}/metrics").text
    assert text.count("\nthumbstream_build_info{") == 1
    assert "process_resident_memory_bytes" in text
    assert HTTP.get(f"{pair.url}/readyz").status_code == 200


def test_a_killed_process_costs_its_connections_only(pair: Launched) -> None:
    starts = metric(pair, "thumbstream_process_starts_total")
    made = HTTP.post(f"{pair.url}/compress", content=photo(), headers=PNG).json()["id"]
    counted = 'thumbstream_requests_total{route="/compress",status="201"}'
    patiently(lambda: f"{counted} 1.0" in HTTP.get(f"{pair.url}/metrics").text)
    over = threading.Event()

    def served_again() -> int:
        """Attempts until a new connection is served."""
        attempts = 1
        while True:
            try:
                assert HTTP.get(f"{pair.url}/thumb/{made}?bytes=64").status_code == 200
            except httpx.TransportError:
                attempts += 1
            else:
                return attempts

    def read() -> tuple[int, int]:
        """Reads until it is over; how many answers came, and how many connections broke."""
        answers = broken = 0
        while not over.is_set():
            with httpx.Client(base_url=pair.url, timeout=30, verify=False) as http:
                try:
                    for _ in range(25):
                        assert http.get(f"/thumb/{made}?bytes=64").status_code == 200
                        answers += 1
                except httpx.TransportError:
                    broken += 1
                    # The kernel closes the port an instant after the connections, so the first
                    # that comes back may meet it still; nobody waits for the replacement.
                    assert served_again() <= 3
        return answers, broken

    with ThreadPoolExecutor() as pool:
        readers = [pool.submit(read) for _ in range(4)]
        try:
            time.sleep(0.3)
            os.kill(children(pair)[-1], signal.SIGKILL)
            patiently(lambda: any("ended with status -9" in line for line in pair.lines))
            patiently(lambda: metric(pair, "thumbstream_process_starts_total") == starts + 1)
            patiently(lambda: metric(pair, "thumbstream_processes") == 2)
        finally:
            over.set()
        results = [reader.result() for reader in readers]
    assert all(answers > 25 for answers, _ in results)
    assert all(broken <= 3 for _, broken in results)
    # What the dead process had counted is not lost.
    assert metric(pair, counted) == 1


def test_a_process_that_hangs_is_replaced(pair: Launched) -> None:
    before = children(pair)
    hung = before[-1]
    os.kill(hung, signal.SIGSTOP)
    patiently(lambda: len(children(pair)) > len(before))
    assert any(f"process {hung} hangs: killed" in line for line in pair.lines)
    patiently(lambda: HTTP.get(f"{pair.url}/readyz").status_code == 200)


def test_sigterm_fails_no_request(launch: Launch, tmp_path: Path) -> None:
    pair = two(launch, tmp_path)
    with ThreadPoolExecutor() as pool:
        upload = pool.submit(HTTP.post, f"{pair.url}/compress", content=photo(), headers=PNG)
        patiently(lambda: metric(pair, "thumbstream_jobs_running") == 1)

        def balanced() -> int:
            """What a load balancer does: it asks /readyz, and sends no more once that says 503."""
            served = 0
            while HTTP.get(f"{pair.url}/readyz").status_code == 200:
                assert HTTP.get(f"{pair.url}/healthz").status_code == 200
                served += 1
            return served

        balancers = [pool.submit(balanced) for _ in range(3)]
        time.sleep(0.3)
        pair.process.send_signal(signal.SIGTERM)
        assert all(balancer.result() > 0 for balancer in balancers)
        assert not upload.done()
        (tmp_path / "gate").touch()
        assert upload.result().status_code == 201
    assert pair.process.wait(60) == 0
    assert not any(alive(pid) for pid in children(pair))


def test_what_stops_the_start_of_several_is_told_once(launch: Launch, pair: Launched) -> None:
    with pytest.raises(AssertionError) as failure:
        launch(THUMBSTREAM_PROCESSES="4", THUMBSTREAM_MODELS="nope")
    assert str(failure.value).count("cannot start: no model 'nope'") == 1
    with pytest.raises(AssertionError, match=r"cannot listen on .* in use"):
        launch(THUMBSTREAM_PROCESSES="2", THUMBSTREAM_PORT=str(pair.port))
    with pytest.raises(AssertionError, match="in use"):
        launch(THUMBSTREAM_PORT=str(pair.port))


def test_children_do_not_outlive_their_parent(pair: Launched) -> None:
    both = [pid for pid in children(pair) if alive(pid)]
    assert len(both) == 2
    pair.process.kill()
    pair.process.wait(10)
    patiently(lambda: not any(alive(pid) for pid in both))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # An orphan that ended and that nobody has waited for yet is still a number.
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
