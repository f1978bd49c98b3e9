"""pyproject.toml, constraints.txt, Dockerfile and Makefile agree."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import thumbstream

ROOT = Path(__file__).resolve().parents[2]
SERVICE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MODELS = tomllib.loads((ROOT / "models" / "pyproject.toml").read_text())["project"]
CONSTRAINTS = [
    line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"
]
TESTED = {
    canonicalize_name(Requirement(line).name): Version(line.split("==")[1]) for line in CONSTRAINTS
}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
EXTRAS = SERVICE["optional-dependencies"]
REQUIREMENTS = [
    Requirement(text)
    for text in chain(SERVICE["dependencies"], *EXTRAS.values(), MODELS["dependencies"])
    if text != SERVICE["name"]
]


def test_each_package_is_constrained_once() -> None:
    assert len(TESTED) == len(CONSTRAINTS)


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_the_tested_version_is_in_the_range(requirement: Requirement) -> None:
    assert TESTED[canonicalize_name(requirement.name)] in requirement.specifier


def test_packages_agree_on_what_both_need() -> None:
    ranges: dict[str, set[str]] = {}
    for requirement in REQUIREMENTS:
        ranges.setdefault(requirement.name, set()).add(str(requirement.specifier))
    assert {name for name, found in ranges.items() if len(found) > 1} == set()


def test_versions_agree() -> None:
    assert thumbstream.__version__ == SERVICE["version"] == MODELS["version"]


def test_no_runtime_is_a_hard_dependency() -> None:
    names = {Requirement(text).name for text in SERVICE["dependencies"]}
    assert not {"onnxruntime", "onnxruntime-gpu", "torch"} & names
    assert [Requirement(text).name for text in EXTRAS["cpu"]] == ["onnxruntime"]
    assert [Requirement(text).name for text in EXTRAS["gpu"]] == ["onnxruntime-gpu"]


@pytest.mark.parametrize(
    "name",
    [
        *("pyproject.toml", "models/pyproject.toml", "constraints.txt", "Makefile", "Dockerfile"),
        *("requirements-image-cpu.txt", "requirements-image-gpu.txt"),
    ],
)
def test_no_file_names_a_package_index(name: str) -> None:
    text = (ROOT / name).read_text()
    assert not re.search(r"(index-url|find-links|trusted-host)", text)
    assert not [url for url in re.findall(r"https?://[^\s/'\"]+", text) if "127.0.0.1" not in url]


def test_the_image_is_built_from_what_the_wheel_needs() -> None:
    kept = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    image = {f"requirements-image-{runtime}.txt" for runtime in ("cpu", "gpu")}
    needed = {"pyproject.toml", *image, SERVICE["readme"], *SERVICE["license-files"]}
    for folder in build["targets"]["wheel"]["only-include"]:
        assert any(folder == name or folder.startswith(f"{name}/") for name in kept)
    assert needed <= kept


@pytest.mark.parametrize("runtime", ["cpu", "gpu"])
def test_the_image_installs_the_tested_versions_with_hashes(runtime: str) -> None:
    text = (ROOT / f"requirements-image-{runtime}.txt").read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line[:1] != "#"]
    installed = set()
    for line in lines:
        requirement = Requirement(line.split("--hash")[0])
        name = canonicalize_name(requirement.name)
        installed.add(name)
        if requirement.marker is None or requirement.marker.evaluate({"sys_platform": "linux"}):
            assert requirement.specifier == SpecifierSet(f"=={TESTED[name]}")
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), line
    direct = [*SERVICE["dependencies"], *EXTRAS[runtime], *EXTRAS["otel"]]
    assert {canonicalize_name(Requirement(text).name) for text in direct} <= installed
    assert f"--require-hashes --requirement requirements-image-{runtime}.txt" in DOCKERFILE
