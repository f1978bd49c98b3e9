"""The service keeps what its OpenAPI document promises; a short run of ``fuzz_openapi``."""

from __future__ import annotations

import json
import re

import fuzz_openapi
import pytest


def test_nothing_happens_that_the_document_does_not_promise() -> None:
    ended = fuzz_openapi.run("--seed", "20240611", "--max-examples", "5")
    assert ended.returncode == 0, ended.stdout[-12_000:] + ended.stderr[-4_000:]
    selected, known = re.findall(r"Operations:\s+(\d+) selected / (\d+) total", ended.stdout)[0]
    assert selected == known
    phases = set(re.findall(r"✅\s+(\w+) \(in", ended.stdout))
    assert phases == {"Examples", "Coverage", "Fuzzing", "Stateful"}


@pytest.mark.parametrize("check", ["enabled = false", "exclude"])
def test_no_check_is_off(check: str) -> None:
    assert check not in fuzz_openapi.configuration(["a", "b"])


def test_every_exception_carries_its_reason() -> None:
    text = fuzz_openapi.configuration(["a", "b"])
    exceptions = re.findall(r"^\[\[operations\]\](.*)$", text, re.MULTILINE)
    assert exceptions
    assert all(re.match(r" # \w.{30}", line) for line in exceptions)
    assert json.dumps(fuzz_openapi.ACCEPTED) in text
