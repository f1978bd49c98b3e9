"""What an operator deploys agrees with the service, its limits and its image."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from launch import Service, free_port

from thumbstream.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
MANIFESTS: list[dict[str, Any]] = list(
    yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yml").read_text())
)
UNIT = (ROOT / "deploy" / "thumbstream.service").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PODS = {
    manifest["metadata"]["name"]: manifest["spec"]["template"]["spec"]
    for manifest in MANIFESTS
    if "template" in manifest["spec"]
}


def of_unit(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


def test_compose_has_ports_for_more_replicas() -> None:
    service = COMPOSE["services"]["thumbstream"]
    [port] = service["ports"]
    first, last = map(int, re.search(r":(\d+)-(\d+):8000$", port).groups())  # type: ignore[union-attr]
    assert last - first + 1 >= 2 * service["deploy"]["replicas"]
    assert "container_name" not in service  # or --scale would be refused


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_no_more_rights_than_it_needs(name: str) -> None:
    pod = PODS[name]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]


def test_the_settings_of_the_pod_are_settings_and_fit_its_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pod = PODS["thumbstream"]
    [container] = pod["containers"]
    assert f"USER {pod['securityContext']['runAsUser']}:" in DOCKERFILE
    monkeypatch.setattr("thumbstream.settings._read_secret_files", dict)
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    settings = load_settings()
    assert settings.drain_seconds > container["readinessProbe"]["periodSeconds"]
    stop = settings.drain_seconds + settings.shutdown_seconds
    assert pod["terminationGracePeriodSeconds"] >= stop + 5
    worst = (
        300e6  # the process, and its idle workers
        + settings.cache_bytes
        + settings.max_concurrent_uploads * settings.max_upload_bytes
        + settings.encode_workers * settings.job_memory_bytes
    )
    assert container["resources"]["limits"]["memory"] == "2Gi"
    assert worst < 2 * 2**30


def test_the_unit_gives_the_service_time_and_files() -> None:
    settings = Settings()
    assert int(of_unit("TimeoutStopSec")[0]) >= settings.drain_seconds + settings.shutdown_seconds
    assert int(of_unit("LimitNOFILE")[0]) >= settings.max_connections + 512
    assert of_unit("Restart") == ["always"]
    assert of_unit("DynamicUser") == ["yes"]


def test_tokens_are_files_where_the_service_looks_for_them() -> None:
    service = COMPOSE["services"]["thumbstream"]
    assert service["environment"]["THUMBSTREAM_TOKENS_FILE"].endswith(":+/run/secrets/tokens}")
    assert service["environment"]["THUMBSTREAM_TOKENS"] is None  # passed on
    assert service["secrets"] == list(COMPOSE["secrets"]) == ["tokens"]
    pod = PODS["thumbstream"]
    [container] = pod["containers"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert variables["THUMBSTREAM_TOKENS_FILE"] == f"{mounts['secrets']}/tokens"
    [secret] = [volume["secret"] for volume in pod["volumes"] if volume["name"] == "secrets"]
    assert secret["defaultMode"] == 0o440  # readable by the group, which is the user's own
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]
    assert "THUMBSTREAM_TOKENS_FILE=%d/tokens" in of_unit("Environment")
    assert of_unit("LoadCredential") == ["tokens:/etc/thumbstream/tokens"]


@pytest.mark.parametrize("text", [yaml.dump(COMPOSE), yaml.dump_all(MANIFESTS), UNIT])
def test_no_secret_is_the_value_of_a_variable(text: str) -> None:
    assert "THUMBSTREAM_TOKENS_FILE" in text
    assert not re.search(r"THUMBSTREAM_(TOKENS|READ_KEYS)\b(?!: null)", text)


@pytest.mark.parametrize("script", ["backup_sqlite.py", "healthcheck.py"])
def test_scripts_of_the_image_are_in_its_context(script: str) -> None:
    assert f"deploy/{script}" in DOCKERFILE
    assert f"!deploy/{script}" in (ROOT / ".dockerignore").read_text().splitlines()
    assert (ROOT / "deploy" / script).read_text().startswith("#!/usr/bin/env python3\n")


@pytest.mark.parametrize("root_path", ["", "/previews"])
def test_health_check(root_path: str, tmp_path: Path) -> None:
    def check(port: int) -> int:
        environment = {
            **os.environ,
            "THUMBSTREAM_PORT": str(port),
            "THUMBSTREAM_ROOT_PATH": root_path,
        }
        script = ROOT / "deploy" / "healthcheck.py"
        done = subprocess.run(
            [sys.executable, "-I", script], env=environment, stderr=subprocess.DEVNULL, check=False
        )
        return done.returncode

    assert check(free_port()) == 1
    service = Service(tmp_path, {"THUMBSTREAM_ROOT_PATH": root_path})
    service.start()
    try:
        assert check(service.port) == 0
    finally:
        service.stop()
