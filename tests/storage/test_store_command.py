"""``thumbstream store``: every command, on every kind of store."""

from __future__ import annotations

import asyncio
import io
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from thumbstream import cli
from thumbstream.ids import curve_key, identify
from thumbstream.storage import Record, Store, StreamInfo, open_store

CURVE = bytes([0, 5, 1, 1, 1, 1])
NOW = int(time.time())


class Command:
    """Runs ``thumbstream store`` on a store of its own."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.url = url
        self._capsys = capsys

    def run(self, *words: str, status: int = 0) -> str:
        """Run a command; returns its standard output."""
        store = [] if words[0] == "copy" else ["--store", self.url]
        self._capsys.readouterr()
        assert cli.main(["store", words[0], *store, *words[1:]]) == status
        return self._capsys.readouterr().out

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Store]:
        store = open_store(self.url)
        await store.open()
        yield store
        await store.close()

    def put(self, count: int, record: Record, size: int = 50) -> list[str]:
        """Store streams with curves; returns their ids."""
        streams = [os.urandom(size) for _ in range(count)]
        values = {identify(stream): stream for stream in streams}
        keys = list(values)
        values |= {curve_key(key): CURVE for key in keys}

        async def put() -> None:
            async with self.opened() as store:
                await store.put_many(values, dict.fromkeys(keys, record))

        asyncio.run(put())
        return keys

    def stored(self, keys: list[str]) -> list[object]:
        async def read() -> list[object]:
            async with self.opened() as store:
                curves = list(map(curve_key, keys))
                return [*await store.get_many([*keys, *curves]), *await store.info_many(keys)]

        return asyncio.run(read())


@pytest.fixture(params=["sqlite", "redis", "redis+cluster"])
def command(
    request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Command:
    if request.param == "sqlite":
        return Command(f"sqlite:///{tmp_path}/thumbs.db", capsys)
    start = request.getfixturevalue("start_redis")
    return Command(start(cluster="cluster" in request.param).url, capsys)


def test_stats_and_list(command: Command) -> None:
    keys = command.put(300, Record(1000, frozenset({"a b", ""}), NOW + 1000))
    keys += command.put(1, Record(5000))
    sums = json.loads(command.run("stats", "--json"))
    assert sums.pop("used_bytes") > 10_000
    assert sums == {
        "streams": 301,
        "curves": 301,
        "stream_bytes": 301 * 50,
        "expiring": 300,
        "labelled": 300,
        "first": 1000,
        "last": 5000,
    }
    assert "1970-01-01 00:16:40 UTC" in command.run("stats")
    listed = [json.loads(line) for line in command.run("list").splitlines()]
    assert {one["id"] for one in listed} == set(keys)
    labelled = [json.loads(line) for line in command.run("list", "--label", "a b").splitlines()]
    assert labelled[0] == {
        "id": min(keys[:300]),
        "length": 50,
        "created": 1000,
        "expires": NOW + 1000,
        "labels": ["a b"],
        "unlabelled": True,
    }
    assert len(labelled) == 300


def test_delete(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    old = command.put(3, Record(1000))
    labelled = command.put(3, Record(NOW, frozenset({"a"})))
    first, second, third, fourth = command.put(4, Record(NOW))
    absent = identify(b"never stored")
    words = command.run("delete", "--", first, absent, second, second).split()
    assert words == [first, second]  # only what was there
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{third}\n"))
    assert command.run("delete", "-").split() == [third]
    assert sorted(command.run("delete", "--label", "a").split()) == sorted(labelled)
    old += command.put(1, Record(None))  # of a version that did not record the time
    assert sorted(command.run("delete", "--older-than", "30").split()) == sorted(old)
    command.run("delete", "not-an-id", status=1)
    [left] = command.run("list").splitlines()
    assert json.loads(left)["id"] == fourth


def test_export_and_import(command: Command, tmp_path: Path) -> None:
    keys = command.put(300, Record(1000, frozenset({"ä", ""}), NOW + 1000))
    keys += command.put(1, Record(None, frozenset({"b"})))
    before = command.stored(keys)
    file = tmp_path / "streams.jsonl"
    command.run("export", str(file))
    command.run("export", str(file), status=1)  # never overwritten
    command.run("delete", "--", *keys)
    assert command.stored(keys) == [None] * 903
    for _ in range(2):
        command.run("import", str(file))
        assert command.stored(keys) == before


def _exported(**members: object) -> str:
    """A line of an export, with other ``members``."""
    line = {"id": identify(b"x"), "created": 1, "expires": None, "labels": [], "unlabelled": True}
    return json.dumps({**line, "stream": "eA==", "curve": None, **members})


def test_import_and_copy_keep_the_later_expiry(command: Command, tmp_path: Path) -> None:
    [key] = command.put(1, Record(1000, expires=NOW + 1000))
    file, other = tmp_path / "streams.jsonl", Command(f"sqlite:///{tmp_path}/o.db", command._capsys)
    command.run("export", str(file))
    command.run("copy", "--from", command.url, "--to", other.url)

    def set_expiry(expires: int | None) -> None:
        async def put(stream: bytes) -> None:
            async with command.opened() as store:
                await store.put(key, stream, Record(2000, expires=expires))

        asyncio.run(put(command.stored([key])[0]))  # type: ignore[arg-type]

    for later in (NOW + 2000, None):
        set_expiry(later)  # another upload
        command.run("import", str(file))
        command.run("copy", "--from", other.url, "--to", command.url)
        assert command.stored([key])[2].record.expires == later  # type: ignore[attr-defined]


def test_an_interrupted_export_is_no_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = Command(f"sqlite:///{tmp_path}/thumbs.db", capsys)
    command.put(1, Record(1))
    file = tmp_path / "streams.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr("thumbstream.storage.maintenance.to_json", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            command.run("export", str(file))
    assert not file.exists()
    command.run("export", str(file))
    assert len(file.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nothing", "line 2: not an exported stream"),
        ('{"id": "x"}', "line 2: not an exported stream"),
        (
            '{"id": "AAAAAAAAAAAAAAAAAAAAAA", "created": 1, "expires": null, "labels": [], '
            '"unlabelled": true, "stream": "AAAA", "curve": null}',
            "line 2: the stream does not match its id",
        ),
        (_exported(id=["x"]), "line 2: not an exported stream: the id"),
        (_exported(labels="abc"), "line 2: not an exported stream: the id or the labels"),
        (_exported(labels=[5]), "line 2: not an exported stream: the id or the labels"),
        (_exported(expires=10**20), "line 2: not an exported stream: expected a Unix time"),
        (_exported(created="1"), "line 2: not an exported stream: expected a Unix time"),
        ("[" * 100_000, "line 2: not an exported stream"),
    ],
)
def test_import_rejects_what_is_not_an_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, reason: str
) -> None:
    command = Command(f"sqlite:///{tmp_path}/thumbs.db", capsys)
    command.put(1, Record(1))
    good = command.run("export", "-")
    file = tmp_path / "bad.jsonl"
    file.write_text(f"{good}{line}\n")
    assert cli.main(["store", "import", str(file), "--store", command.url]) == 1
    assert reason in capsys.readouterr().err


def test_verify_and_repair(command: Command) -> None:
    good, *_ = command.put(5, Record(1000, frozenset({"a"})))
    [broken] = command.put(1, Record(1000, frozenset({"a"})))
    damaged = identify(b"another stream")

    async def damage() -> None:
        async with command.opened() as store:
            await store.put(damaged, b"damaged")
            await store.delete_many([broken])

    assert command.run("verify") == ""
    asyncio.run(damage())
    stream = os.urandom(9)
    key = identify(stream)

    async def put_damaged_curve() -> None:
        async with command.opened() as store:
            await store.put_many({key: stream, curve_key(key): b"no curve"}, {key: Record(7)})

    asyncio.run(put_damaged_curve())
    expected = {f"{damaged}: damaged stream", f"{key}: damaged curve"}
    assert set(command.run("verify", status=1).splitlines()) == expected
    assert set(command.run("verify", "--repair").splitlines()) == expected
    assert command.run("verify") == ""
    assert command.stored([key]) == [stream, None, StreamInfo(key, 9, Record(7))]
    assert command.stored([good])[:2] != [None, None]


def test_verify_finds_curves_without_a_stream(
    tmp_path: Path, start_redis: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    import redis

    server = start_redis()
    command = Command(server.url, capsys)  # type: ignore[attr-defined]
    [key] = command.put(1, Record(1))
    with redis.Redis.from_url(command.url) as plain:
        plain.delete(f"thumb:{key}")  # as if a process had been killed between the two
    assert command.run("verify", status=1) == f"{key}: curve without a stream\n"
    command.run("verify", "--repair")
    assert command.stored([key]) == [None, None, None]


def test_copy(command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = command.put(300, Record(1000, frozenset({"a", ""}), NOW + 1000))
    other = Command(f"sqlite:///{tmp_path}/folder/other.db?create=true", capsys)
    for _ in range(2):
        command.run("copy", "--from", command.url, "--to", other.url)
    assert other.stored(keys) == command.stored(keys)
    command.run("delete", "--", *keys)
    command.run("copy", "--from", other.url, "--to", command.url)
    assert other.stored(keys) == command.stored(keys)


def test_expiring_streams_do_not_go_where_they_would_be_dropped(
    tmp_path: Path, start_redis: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    server = start_redis(options=("--maxmemory", "64mb", "--maxmemory-policy", "volatile-lru"))
    url = server.url  # type: ignore[attr-defined]
    command, file = Command(f"sqlite:///{tmp_path}/thumbs.db", capsys), tmp_path / "streams.jsonl"
    command.put(1, Record(1000))
    command.run("copy", "--from", command.url, "--to", url)
    command.put(1, Record(1000, expires=NOW + 1000))
    command.run("export", str(file))
    for words in (["copy", "--from", command.url, "--to", url], ["import", str(file)]):
        store = ["--store", url] if words[0] == "import" else []
        assert cli.main(["store", *words, *store]) == 1
        assert "set maxmemory-policy noeviction" in capsys.readouterr().err
    assert json.loads(Command(url, capsys).run("stats", "--json"))["expiring"] == 0


def test_import_without_its_file_creates_no_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command(f"sqlite:///{tmp_path}/new.db", capsys)
    assert cli.main(["store", "import", f"{tmp_path}/absent", "--store", command.url]) == 1
    message = f"thumbstream: cannot read {tmp_path}/absent: No such file or directory\n"
    assert capsys.readouterr().err == message
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_does_not_exist_is_not_created(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = Command(f"sqlite:///{tmp_path}/typo.db", capsys)
    for words in (["stats"], ["list"], ["delete", "--label", "a"], ["export", "-"], ["verify"]):
        assert cli.main(["store", *words, "--store", command.url]) == 1
        assert f"{tmp_path}/typo.db: no such file" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
