"""Services and caches of one's own, and pictures to put into them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cdn_servers import CountedService, Nginx, Upload, picture


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where servers that run as other users may read."""
    for part in (tmp_path, *tmp_path.parents[:2]):
        part.chmod(0o755)
    return tmp_path


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CountedService]:
    """One service for the tests that do not stop it."""
    folder = tmp_path_factory.mktemp("service")
    service = CountedService(folder, {"THUMBSTREAM_STORE": f"sqlite:///{folder}/streams.db"})
    service.start()
    yield service
    service.stop()


@pytest.fixture
def cdn(folder: Path, kept: CountedService) -> Iterator[httpx.Client]:
    """A client of an empty cache in front of `kept`."""
    nginx = Nginx(folder, [kept])
    nginx.start()
    with httpx.Client(base_url=nginx.url, timeout=30) as client:
        yield client
    nginx.stop()


@pytest.fixture(scope="module")
def upload() -> Upload:
    """Upload another picture each time to the service at a URL: its id."""
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
