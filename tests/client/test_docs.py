"""The code of docs/python-client.md runs as it is written."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from launch import Service

from thumbstream.client import Client, RetryPolicy

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "python-client.md").read_text()
CODE = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", CODE)
async def test_code_runs(
    code: str,
    service: Service,
    new_picture: Callable[[], bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "photo.jpg").write_bytes(new_picture())
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    text = code.replace("http://127.0.0.1:8000", service.url)
    compiled = compile(text, "page", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(compiled, names)
    if inspect.isawaitable(running):
        await running
    assert len(names["prefix"]) == 64  # type: ignore[arg-type]


def test_the_page_has_all_methods_and_parameters() -> None:
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if name[0] != "_" and name != "close":
            row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}("))
            parameters = list(inspect.signature(method).parameters)[2:]
            assert not [each for each in parameters if each not in row], name
    assert str(RetryPolicy()) in PAGE
