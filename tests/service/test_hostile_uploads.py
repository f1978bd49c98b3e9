"""Hostile files of every format, sent to a real service while it is read.

Each is answered in time, with a picture or a stable code, within the limits on processor time and
memory of a worker. Afterwards the service is as it was: it takes uploads as fast as before, and its
memory has not grown.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice

import pytest
from fakes import photo
from launch import Service

from loadtest.bench.hostile import Observer, Processes, upload
from loadtest.lib.attacks import Attack, uploads

pytestmark = pytest.mark.slow

CODES = {"invalid_image", "too_many_pixels", "too_expensive", "unsupported_format", "out_of_memory"}
CPU_SECONDS = 3.0
"""Default limit of a job."""
RESTART_CPU_SECONDS = 3.0
"""Processor time of a worker that replaces one that passed a limit."""
MEMORY_BYTES = 1 << 30
"""Default limit of a worker."""
GROWTH_BYTES = 32 << 20
UPLOADS = 1000
"""Of files that take milliseconds: ten seconds on two idle cores."""
WARM_UP = 4
"""Rounds of all files before memory is measured."""
SECONDS = 120.0
"""For one answer: workers have the lowest priority, and the machine may be busy."""
PHOTOS = 12
WORKERS = 2


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("hostile")
    settings = {
        "THUMBSTREAM_STORE": f"sqlite:///{folder}/streams.db",
        "THUMBSTREAM_ENCODE_WORKERS": str(WORKERS),
        "THUMBSTREAM_JOB_TIMEOUT_SECONDS": str(SECONDS),
    }
    service = Service(folder, settings)
    service.start()
    try:
        yield service
        assert service.stop() == 0
    finally:
        service.kill()


@pytest.fixture
def processes(service: Service) -> Processes:
    assert service.process is not None
    return Processes(service.process.pid)


def photo_cpu_seconds(service: Service, processes: Processes, seed: int) -> float:
    """Processor time of the workers for `PHOTOS` photographs of ordinary size."""
    before = processes.cpu_seconds(itself=False)
    files = [Attack("", photo(1200, 900, seed=seed + number)) for number in range(PHOTOS)]
    with ThreadPoolExecutor(WORKERS) as pool:  # every worker has some
        for status, _ in pool.map(lambda file: upload(service.port, file, seconds=SECONDS), files):
            assert status in (200, 201)
    return processes.cpu_seconds(itself=False) - before


def attack(service: Service, file: Attack) -> None:
    """Uploads the file; asserts that the answer is right."""
    status, body = upload(service.port, file, seconds=SECONDS)
    if not (file.may_succeed and status in (200, 201)):
        assert status in (415, 422, 503), (file.name, status, body)
        assert json.loads(body)["code"] in CODES, (file.name, body)


def test_each_hostile_upload_stays_within_the_limits(
    service: Service, processes: Processes, record_property: pytest.RecordProperty
) -> None:
    photo_cpu_seconds(service, processes, 0)  # every worker has started
    status, body = upload(service.port, Attack("", photo(1200, 900)), seconds=SECONDS)
    assert status in (200, 201)
    seconds: list[float] = []
    for file in uploads():
        observer = Observer(service.port, ["/healthz", json.loads(body)["url"]], processes)
        cpu = processes.cpu_seconds(itself=False)
        observer.start()
        attack(service, file)
        observer.stop()
        cpu = processes.cpu_seconds(itself=False) - cpu
        assert observer.statuses == {200}, file.name
        assert cpu < CPU_SECONDS + RESTART_CPU_SECONDS, (file.name, cpu)
        assert observer.peak_worker_bytes < MEMORY_BYTES, file.name
        seconds += observer.seconds
    assert len(seconds) > 100
    p99 = sorted(seconds)[len(seconds) * 99 // 100]
    record_property("read_p99_ms", round(p99 * 1000, 1))
    assert p99 < 1.0  # tens of milliseconds on a quiet machine


def test_a_thousand_hostile_uploads_leave_memory_and_throughput(
    service: Service, processes: Processes, record_property: pytest.RecordProperty
) -> None:
    cheap = [file for file in uploads() if not file.costly]
    photo_cpu_seconds(service, processes, 100)
    flood(service, cheap, WARM_UP * len(cheap))  # every worker has read every format
    seconds, memory = photo_cpu_seconds(service, processes, 200), sum(processes.resident_bytes())
    begun = time.monotonic()
    flood(service, cheap, UPLOADS)
    record_property("seconds", round(time.monotonic() - begun, 1))
    assert photo_cpu_seconds(service, processes, 300) < 1.5 * seconds + 0.5
    growth = sum(processes.resident_bytes()) - memory
    record_property("growth_mb", growth >> 20)
    assert growth < GROWTH_BYTES
    assert service.is_ready()


def flood(service: Service, files: list[Attack], count: int) -> None:
    """Uploads ``count`` of the files in turns, as many at once as there are workers."""
    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in pool.map(lambda file: attack(service, file), islice(cycle(files), count)):
            pass
