"""The containers keep no more rights than they need."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def stages() -> dict[str, tuple[str, list[str]]]:
    """Name of each stage -> its base, and its instructions."""
    text = DOCKERFILE.replace("\\\n", " ")
    found: dict[str, tuple[str, list[str]]] = {}
    lines: list[str] = []
    for line in (line.strip() for line in text.splitlines()):
        start = re.fullmatch(r"FROM (\S+) AS (\S+)", line)
        if start:
            lines = []
            found[start[2]] = (start[1], lines)
        elif line and not line.startswith("#"):
            lines.append(line)
    return found


def inherited(name: str) -> list[str]:
    """Every instruction of a stage and its bases, the oldest first."""
    all_stages = stages()
    lines: list[str] = []
    while name in all_stages:
        name, own = all_stages[name]
        lines = own + lines
    return lines


@pytest.mark.parametrize("image", ["cpu", "gpu"])
def test_image_runs_as_an_unprivileged_user(image: str) -> None:
    lines = inherited(image)
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users, "the image runs as root"
    user, group = users[-1].split(":")
    # Numbers: Kubernetes' runAsNonRoot cannot judge a name.
    assert int(user) > 0
    assert int(group) > 0
    assert users[-1] == users[0]
    made = " ".join(line for line in lines if line.startswith("RUN "))
    assert f"--uid {user}" in made
    assert "/usr/sbin/nologin" in made


@pytest.mark.parametrize("image", ["cpu", "gpu"])
def test_an_image_needs_no_writable_files_but_its_data(image: str) -> None:
    lines = inherited(image)
    assert [line.split()[1] for line in lines if line.startswith("VOLUME")] == ["/data"]
    variables = " ".join(line for line in lines if line.startswith("ENV "))
    assert "PYTHONDONTWRITEBYTECODE=1" in variables


def test_no_secret_gets_into_a_layer() -> None:
    for line in DOCKERFILE.splitlines():
        if line.startswith(("ARG ", "ENV ")):
            assert not re.search(r"TOKEN|SECRET|PASSWORD|_KEY", line), line
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ".git" in ignored or "*" in ignored


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_read_only_and_has_no_capabilities(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    granted = {"cap_add", "privileged", "devices", "pid", "network_mode", "ipc", "userns_mode"}
    assert not granted & service.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_not_root(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert service["build"]["target"] in ("cpu", "gpu")  # the user is the image's
        assert "user" not in service
    else:
        assert service["user"] not in ("root", "0", 0)


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_may_write_is_bounded_or_a_named_volume(name: str) -> None:
    service = SERVICES[name]
    for mount in service.get("tmpfs", []):
        assert re.search(r":.*size=\d+[km]", mount), mount
    for volume in service.get("volumes", []):
        source, _, rest = volume.partition(":")
        assert source in COMPOSE["volumes"] or rest.endswith(":ro"), volume
        assert "docker.sock" not in volume


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))
