"""Signed reads: what a signature is valid for, and how long responses may be cached."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from fakes import photo
from service_harness import IMMUTABLE, UNKNOWN, Running, Start, assert_problem

from thumbstream.cli import main
from thumbstream.http.signing import SigningKeys
from thumbstream.signed_urls import sign_url, signature, streams_of

KEY = "an-example-key-of-32-bytes-or-more"
OTHER = "another-key-that-is-long-enough"
DOCS = Path(__file__).resolve().parents[2] / "docs" / "http.md"
EXAMPLE_ID = "q0Zr2vYx3m1Ck7Ht5sNwAQ"
EXAMPLE_EXPIRY = 1900000000


def signed(url: str, *, key: str = KEY, seconds: int = 3600) -> str:
    return SigningKeys([key]).sign(url, int(time.time()) + seconds)


def max_age(answer: httpx.Response) -> int:
    match = re.fullmatch(r"public, max-age=(\d+), must-revalidate", answer.headers["cache-control"])
    assert match is not None, answer.headers["cache-control"]
    return int(match[1])


async def stored(running: Running, seed: int = 0) -> str:
    headers = {"Authorization": "Bearer an-upload", "Content-Type": "image/png"}
    answer = await running.http.post("/compress", content=photo(seed=seed), headers=headers)
    return str(answer.json()["id"])


@pytest.fixture
async def signed_service(start: Start) -> Running:
    """A service whose reads are signed."""
    return await start(read_keys=f"{KEY},{OTHER}", tokens="web:an-upload")


async def test_one_signature_is_valid_for_every_prefix(signed_service: Running) -> None:
    key = await stored(signed_service)
    parameters = signed(f"/thumb/{key}").partition("?")[2]
    full = (await signed_service.http.get(f"/thumb/{key}?{parameters}")).content
    for url in (
        f"/thumb/{key}?bytes=48&{parameters}",
        f"/thumb/{key}?{parameters}&bytes=48",
        f"/t/{key}/32?{parameters}",
        f"/thumb/{key}?ssim=0.5&{parameters}",
    ):
        answer = await signed_service.http.get(url)
        assert answer.status_code == 200, answer.text
        assert full.startswith(answer.content)
    part = await signed_service.http.get(
        f"/thumb/{key}?{parameters}", headers={"Range": "bytes=32-47"}
    )
    assert (part.status_code, part.content) == (206, full[32:48])
    preview = await signed_service.http.get(f"/decode/{key}?format=png&{parameters}")
    assert preview.content.startswith(b"\x89PNG")
    for url in (f"/thumbs?ids={key}:16&{parameters}", f"/thumbs.json?ids={key}&{parameters}"):
        assert (await signed_service.http.get(url)).status_code == 200


async def test_signature_is_invalid_for_anything_else(signed_service: Running) -> None:
    key, other = await stored(signed_service), await stored(signed_service, seed=1)
    parameters = signed(f"/thumb/{key}").partition("?")[2]
    exp, sig = re.findall(r"=([^&]+)", parameters)
    late = f"exp={int(exp) + 1}&sig={sig}"
    for url in (
        f"/thumb/{other}?{parameters}",
        f"/t/{other}/32?{parameters}",
        f"/decode/{other}?{parameters}",
        f"/thumbs?ids={key},{other}&{parameters}",
        f"/thumbs?ids={key}&ids={other}&{parameters}",
        f"/thumbs.json?ids={other}&{parameters}",
        f"/thumb/{key}",
        f"/thumb/{key}?{late}",
        f"/thumb/{key}?exp=0{exp}&sig={sig}",
        f"/thumb/{key}?exp=%2B{exp}&sig={sig}",
        f"/thumb/{key}?exp={exp}",
        f"/thumb/{key}?sig={sig}",
        f"/thumb/{key}?exp={exp}&sig={sig[:-1]}",
        f"/thumb/{key}?exp={exp}&sig={sig}=",
        f"/thumb/{key}?exp={exp}&sig={'A' * 22}",
        f"/thumb/{key}?exp={exp}&sig=%C3%A9",
        f"/thumb/{key}?{parameters}&sig={sig}",
        f"/thumb/{key}?{parameters}&exp={exp}",
        f"/thumb/{key}?exp={'9' * 5000}&sig={sig}",
        f"/thumb/{key}/?{parameters}",
        f"/thumb/?{parameters}",
        f"/thumbs?{parameters}",
        signed(f"/thumb/{key}", key="a key that the service has not"),
    ):
        answer = await signed_service.http.get(url)
        assert_problem(answer, 403, "bad_signature")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert (await signed_service.http.head(url)).status_code == 403


async def test_expired_signature_is_rejected(signed_service: Running) -> None:
    key = await stored(signed_service)
    assert_problem(
        await signed_service.http.get(signed(f"/thumb/{key}", seconds=0)), 403, "signature_expired"
    )
    assert_problem(
        await signed_service.http.get(signed(f"/thumb/{key}", seconds=-9999)),
        403,
        "signature_expired",
    )
    expired = signed(f"/thumb/{key}", seconds=-1)
    assert_problem(
        await signed_service.http.get(expired.replace(key, UNKNOWN)), 403, "bad_signature"
    )


async def test_max_age_ends_with_the_signature(signed_service: Running) -> None:
    key = await stored(signed_service)
    for path in (f"/thumb/{key}", f"/t/{key}/32", f"/decode/{key}", f"/thumbs?ids={key}"):
        url = signed(path)
        answer = await signed_service.http.get(url)
        assert 3500 < max_age(answer) < 3600
        again = await signed_service.http.get(
            url, headers={"If-None-Match": answer.headers["etag"]}
        )
        assert again.status_code == 304
        assert max_age(again) < 3600
        assert (
            max_age(await signed_service.http.get(signed(path, seconds=2 * 31536000))) == 31536000
        )
    unknown = await signed_service.http.get(signed(f"/thumb/{UNKNOWN}", seconds=5))
    assert unknown.status_code == 404
    assert max_age(unknown) < 5


async def test_signing_keys_rotate(signed_service: Running, start: Start) -> None:
    key = await stored(signed_service)
    for one in (KEY, OTHER):
        assert (await signed_service.http.get(signed(f"/thumb/{key}", key=one))).status_code == 200
    later = await start(read_keys=OTHER)
    assert_problem(await later.http.get(signed(f"/thumb/{key}")), 403, "bad_signature")


async def test_signature_of_all_streams(signed_service: Running) -> None:
    key, other = await stored(signed_service), await stored(signed_service, seed=1)
    parameters = signed("*")
    for url in (f"/thumb/{key}?", f"/t/{other}/16?", f"/thumbs?ids={key},{other}&"):
        assert (await signed_service.http.get(url + parameters)).status_code == 200


async def test_bearer_token_reads_are_private(signed_service: Running) -> None:
    key = await stored(signed_service)
    bearer = {"Authorization": "Bearer an-upload"}
    answer = await signed_service.http.get(f"/thumb/{key}", headers=bearer)
    assert answer.headers["cache-control"] == IMMUTABLE.replace("public", "private")
    wrong = await signed_service.http.get(
        signed(f"/thumb/{key}"), headers={"Authorization": "Bearer x"}
    )
    assert_problem(wrong, 401, "unauthorized")


async def test_bearer_token_needs_configured_tokens(start: Start) -> None:
    running = await start(read_keys=KEY)
    key = await stored(running)
    answer = await running.http.get(f"/thumb/{key}", headers={"Authorization": "Bearer any"})
    assert_problem(answer, 403, "bad_signature")


async def test_budget_signs_the_urls_of_its_plan(signed_service: Running) -> None:
    ids = [await stored(signed_service, seed) for seed in range(3)]
    body = json.dumps({"ids": ids, "total_bytes": 300})
    assert_problem(await signed_service.http.post("/budget", content=body), 403, "bad_signature")
    for named in (",".join(ids), "*"):
        parameters = (
            signed("*") if named == "*" else signed(f"/thumbs?ids={named}").partition("&")[2]
        )
        answer = await signed_service.http.post(f"/budget?{parameters}", content=body)
        assert answer.status_code == 200, answer.text
        for url in answer.json()["urls"]:
            assert (await signed_service.http.get(url)).status_code == 200
            assert_problem(
                await signed_service.http.get(url.partition("&")[0]), 403, "bad_signature"
            )
    swapped = json.dumps({"ids": ids[::-1], "total_bytes": 300})
    parameters = signed(f"/thumbs?ids={','.join(ids)}").partition("&")[2]
    assert_problem(
        await signed_service.http.post(f"/budget?{parameters}", content=swapped),
        403,
        "bad_signature",
    )
    bearer = {"Authorization": "Bearer an-upload"}
    answer = await signed_service.http.post("/budget", content=body, headers=bearer)
    assert all("sig=" not in url for url in answer.json()["urls"])


async def test_other_routes_need_no_signature(signed_service: Running) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/models", "/", "/openapi.json"):
        assert (await signed_service.http.get(path)).status_code == 200
    assert (await signed_service.http.options(f"/thumb/{UNKNOWN}")).status_code == 204
    assert_problem(await signed_service.http.post("/decode", content=b"\x96"), 400, "bad_stream")


async def test_without_keys_signature_parameters_are_ignored(running: Running) -> None:
    key = (await running.upload())["id"]
    answer = await running.http.get(f"/thumb/{key}?exp=1&sig=x")
    assert answer.headers["cache-control"] == IMMUTABLE


# The documented format


def test_documented_example() -> None:
    sig = signature(KEY.encode(), EXAMPLE_ID, EXAMPLE_EXPIRY)
    text = DOCS.read_text()
    assert f"/thumb/{EXAMPLE_ID}?bytes=48&exp={EXAMPLE_EXPIRY}&sig={sig}" in text
    assert f"`{KEY}`" in text
    batch = signature(KEY.encode(), f"{EXAMPLE_ID},{UNKNOWN}", EXAMPLE_EXPIRY)
    assert sign_url(
        KEY.encode(), f"/thumbs?ids={EXAMPLE_ID}:48,{UNKNOWN}", EXAMPLE_EXPIRY
    ).endswith(f"&exp={EXAMPLE_EXPIRY}&sig={batch}")


@pytest.mark.parametrize(
    ("language", "program"),
    [
        ("python", ["python3", "-c"]),
        ("js", ["node", "--input-type=module", "-e"]),
        ("sh", ["sh", "-c"]),
    ],
)
def test_documented_programs_sign_like_the_service(language: str, program: list[str]) -> None:
    section = DOCS.read_text().partition("## Signed reads")[2]
    [code] = re.findall(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    assert shutil.which(program[0])
    if language == "sh":
        assert shutil.which("openssl"), "the documented shell program needs openssl"
    ran = subprocess.run([*program, code], capture_output=True, text=True, check=True, timeout=60)
    sig = signature(KEY.encode(), EXAMPLE_ID, EXAMPLE_EXPIRY)
    assert ran.stdout.strip() == f"/thumb/{EXAMPLE_ID}?exp={EXAMPLE_EXPIRY}&sig={sig}"


@pytest.mark.parametrize(
    ("path", "query", "streams"),
    [
        ("/thumb/a", "bytes=3", "a"),
        ("/t/a/16", "", "a"),
        ("/decode/a", "format=png", "a"),
        ("/thumbs", "ids=a:3,b", "a,b"),
        ("/thumbs.json", "ids=a&bytes=2&ids=b,a", "a,b,a"),
        ("/thumbs", "", ""),
        ("/models", "", None),
        ("/thumb/a/b", "", None),
        ("/t/a", "", None),
    ],
)
def test_streams_of_a_request(path: str, query: str, streams: str | None) -> None:
    assert streams_of(path, query) == streams


def test_sign_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sign", f"/thumb/{UNKNOWN}", "--expires", "1h"]) == 1
    assert "THUMBSTREAM_READ_KEYS" in capsys.readouterr().err
    monkeypatch.setenv("THUMBSTREAM_READ_KEYS", f"{KEY},{OTHER}")
    for wait, seconds in (("90s", 90), ("15m", 900), ("1h", 3600), ("2d", 172800)):
        now = int(time.time())
        assert (
            main(["sign", f"https://cdn.example/thumb/{UNKNOWN}?bytes=9", "--expires", wait]) == 0
        )
        printed = capsys.readouterr().out.strip()
        exp = int(printed.partition("exp=")[2].partition("&")[0])
        assert 0 <= exp - now - seconds <= 5
        assert printed == sign_url(
            KEY.encode(), f"https://cdn.example/thumb/{UNKNOWN}?bytes=9", exp
        )
    assert main(["sign", "*", "--expires", "1h", "--round", "1d"]) == 0
    printed = capsys.readouterr().out.strip()
    assert re.fullmatch(r"exp=\d+&sig=[\w-]{22}", printed)
    assert int(printed[4:].partition("&")[0]) % 86400 == 0
    assert main(["sign", "/models", "--expires", "1h"]) == 1
    for wrong in ("1", "h", "-1h", "0s", "1w", "1.5h"):
        with pytest.raises(SystemExit):
            main(["sign", "*", "--expires", wrong])
