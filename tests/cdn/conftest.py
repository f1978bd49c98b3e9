"""Services and caches for each test, and pictures to upload."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cdn_servers import CountedService, Nginx, Upload, picture


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that servers of other users can read.

    Not below pytest's own: every new session of pytest closes that to other users.
    """
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CountedService]:
    """One service for the tests that do not stop it."""
    folder = tmp_path_factory.mktemp("service")
    service = CountedService(folder, {"THUMBSTREAM_STORE": f"sqlite:///{folder}/streams.db"})
    service.start()
    yield service
    service.stop()


@pytest.fixture
def cdn(folder: Path, origin: CountedService) -> Iterator[httpx.Client]:
    """A client of an empty cache in front of `origin`."""
    nginx = Nginx(folder, [origin])
    nginx.start()
    with httpx.Client(base_url=nginx.url, timeout=30) as client:
        yield client
    nginx.stop()


@pytest.fixture(scope="module")
def upload() -> Upload:
    """Uploads a new picture at each call to the service at a URL; returns its id."""
    seeds = iter(range(1_000_000))

    def upload(url: str) -> str:
        response = httpx.post(
            f"{url}/compress",
            content=picture(next(seeds)),
            headers={"Content-Type": "image/png"},
            timeout=60,
        )
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    return upload
