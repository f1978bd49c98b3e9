"""Generated files of every format come out as Chromium draws them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from compare_chromium import Chromium, difference
from picture_files import GENERATORS, File


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with Chromium() as browser:
        yield browser


@pytest.mark.slow
@pytest.mark.parametrize("extension", GENERATORS)
def test_files_look_as_in_chromium(chromium: Chromium, extension: str) -> None:
    files = [File(f"{name}.{extension}", data) for name, data in GENERATORS[extension]()]
    differences = {file.name: difference(file, chromium.draw(file)) for file in files}
    assert {name: text for name, text in differences.items() if text} == {}


@pytest.mark.slow
def test_at_least_200_files_are_compared() -> None:
    assert sum(len(list(generate())) for generate in GENERATORS.values()) >= 200
