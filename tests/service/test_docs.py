"""Every setting, route, error code and metric is documented, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from service_harness import UNKNOWN, Running

from thumbstream.http.errors import INTERNAL, PROBLEMS
from thumbstream.http.query import PREFIX_SIZES
from thumbstream.settings import NOT_SETTINGS, Settings, variable

DOCS = Path(__file__).resolve().parents[2] / "docs"
CONFIGURATION = (DOCS / "configuration.md").read_text()
HTTP = (DOCS / "http.md").read_text()

TABLE = dict(re.findall(r"^\| `(THUMBSTREAM_\w+)` \| (.*?) \|", CONFIGURATION, re.MULTILINE))


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_is_documented_with_its_default(field: str) -> None:
    default = Settings.model_fields[field].default
    text = str(default).lower() if isinstance(default, bool) else str(default)
    shown = "(empty)" if default == () or not text else f"`{text}`"
    assert TABLE[variable(field)] == shown


def test_documented_settings_exist() -> None:
    assert set(TABLE) == {variable(field) for field in Settings.model_fields}
    assert all(name in CONFIGURATION for name in NOT_SETTINGS)


async def test_every_route_is_documented(running: Running) -> None:
    paths = (await running.http.get("/openapi.json")).json()["paths"]
    routes = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}
    assert "POST /compress" in routes
    assert "GET /thumb/{id}" in routes
    headings = set(re.findall(r"^## ((?:GET|POST|DELETE) \S+)$", HTTP, re.MULTILINE))
    rows = set(re.findall(r"^\| `(GET \S+)` \|", HTTP, re.MULTILINE))
    assert headings | rows == routes
    pages = ("/", "/gallery", "/web/", "/docs", "/openapi.json")
    assert all(f"`{page}`" in HTTP for page in pages)


def test_every_error_is_documented_with_its_status() -> None:
    documented = set(re.findall(r"^\| (\d{3}) \| `(\w+)` \|", HTTP, re.MULTILINE))
    assert documented == {(str(a.status), a.code) for a in [*PROBLEMS.values(), INTERNAL]}


async def test_every_metric_is_documented(running: Running) -> None:
    await running.upload()
    running.store.down = True
    assert (await running.http.get(f"/thumb/{UNKNOWN}")).status_code == 503
    text = (await running.http.get("/metrics")).text
    types = re.findall(r"^# TYPE (thumbstream_\w+) \w+$", text, re.MULTILINE)
    families = {name for name in types if not name.endswith("_created")}
    documented = set(re.findall(r"^\| `(thumbstream_\w+)[{`]", HTTP, re.MULTILINE))
    assert documented == families


def test_prefix_sizes_are_documented() -> None:
    listed = ", ".join(str(size) for size in PREFIX_SIZES[:-1])
    assert f"{listed} and {PREFIX_SIZES[-1]} only" in HTTP
