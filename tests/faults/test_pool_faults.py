"""Worker processes, and the server that forks them, are killed and stopped under load."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from fakes import photo
from launch import Service, wait_until

from loadtest.bench.hostile import Observer, Processes, upload
from loadtest.lib.attacks import Attack

WORKERS = 2
TIMEOUT = 10.0
SECONDS = 180.0
"""For a new fork server, which imports the codec, on a busy machine."""
CODES = {"worker_crashed", "out_of_memory", "job_timeout", "overloaded"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    settings = {
        "THUMBSTREAM_STORE": f"sqlite:///{tmp_path}/streams.db",
        "THUMBSTREAM_ENCODE_WORKERS": str(WORKERS),
        "THUMBSTREAM_JOB_TIMEOUT_SECONDS": str(TIMEOUT),
    }
    service = Service(tmp_path, settings)
    service.start()
    yield service
    service.kill()


@pytest.fixture
def processes(service: Service) -> Processes:
    assert service.process is not None
    return Processes(service.process.pid)


class Uploader(threading.Thread):
    """Uploads new pictures until it is stopped."""

    def __init__(self, service: Service, seed: int) -> None:
        super().__init__(daemon=True)
        self.stored: list[str] = []
        self.codes: set[str] = set()
        self.stopped = False
        self._service, self._seed = service, seed

    def run(self) -> None:
        while not self.stopped:
            self._seed += 1
            status, body = upload(self._service.port, Attack("", photo(64, 48, seed=self._seed)))
            if status == 0:
                return  # the service has ended
            document = json.loads(body)
            if status in (200, 201):
                self.stored.append(document["url"])
            else:
                self.codes.add(document["code"])


def family(processes: Processes) -> tuple[int, list[int]]:
    """The fork server and its workers."""
    found = {}
    for pid in processes.descendants(itself=False):
        with suppress(OSError):
            if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes():
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                found[pid] = int(fields[1])
    [server] = [pid for pid, parent in found.items() if parent not in found]
    return server, [pid for pid in found if pid != server]


@contextmanager
def load(service: Service, processes: Processes) -> Iterator[Uploader]:
    """Uploads meanwhile; then the service is ready, no read has failed, and nothing is lost."""
    uploaders = [Uploader(service, 1_000_000 * number) for number in range(WORKERS)]
    observer = Observer(service.port, ["/healthz", "/models"], processes)
    for thread in (*uploaders, observer):
        thread.start()
    yield uploaders[0]
    for uploader in uploaders:
        uploader.stopped = True
        uploader.join()
        assert uploader.codes <= CODES
    observer.stop()
    assert observer.statuses == {200}
    wait_until(service.is_ready, "the service is ready", SECONDS)
    for url in (url for uploader in uploaders for url in uploader.stored):
        assert httpx.get(service.url + url, timeout=30).status_code == 200


def stores_again(uploader: Uploader) -> None:
    stored = len(uploader.stored)
    wait_until(lambda: len(uploader.stored) > stored + 2, "uploads are stored again", SECONDS)


def test_killed_workers_are_replaced(
    service: Service, processes: Processes, fault_rounds: int
) -> None:
    with load(service, processes) as uploader:
        for _ in range(3 * fault_rounds):
            stores_again(uploader)
            for pid in family(processes)[1]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        stores_again(uploader)


def test_stopped_workers_are_replaced_after_the_time_limit(
    service: Service, processes: Processes
) -> None:
    with load(service, processes) as uploader:
        stores_again(uploader)
        stopped = family(processes)[1]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        stores_again(uploader)
        assert not set(stopped) & set(family(processes)[1])


def test_killed_fork_server_is_replaced_without_the_settings(
    service: Service, processes: Processes
) -> None:
    with load(service, processes) as uploader:
        stores_again(uploader)
        server, workers = family(processes)
        for pid in (server, *workers):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        stores_again(uploader)
        server, workers = family(processes)
        for pid in (server, *workers):
            assert b"THUMBSTREAM_" not in Path(f"/proc/{pid}/environ").read_bytes()
