"""`open_store`: which URL opens which store, and how invalid ones are rejected."""

from __future__ import annotations

from pathlib import Path

import pytest

from thumbstream.errors import StoreUnavailableError
from thumbstream.storage import open_store
from thumbstream.storage.redis import RedisStore, Timeouts
from thumbstream.storage.redis_cluster import RedisClusterStore
from thumbstream.storage.sqlite import SQLiteStore


@pytest.mark.parametrize(
    ("url", "kind", "name"),
    [
        ("sqlite:///thumbs.db", SQLiteStore, "sqlite"),
        ("redis://localhost", RedisStore, "redis"),
        ("redis://user:secret@localhost:6380/3", RedisStore, "redis"),
        ("rediss://localhost:6380", RedisStore, "redis"),
        ("redis+cluster://localhost:7000", RedisClusterStore, "redis+cluster"),
        ("rediss+cluster://localhost:7000", RedisClusterStore, "redis+cluster"),
    ],
)
def test_scheme_selects_the_store(url: str, kind: type, name: str) -> None:
    store = open_store(url)
    assert type(store) is kind
    assert store.name == name


@pytest.mark.parametrize(
    "url",
    [
        "",
        "thumbs.db",
        "/var/thumbs.db",
        "sqlite",
        "sqlite:",
        "sqlite://",
        "sqlite:///",
        "sqlite:////",
        "sqlite:///folder/",
        "sqlite://host/thumbs.db",
        "sqlite:///:memory:",
        "redis",
        "redis://localhost/notanumber?db=x",
        "redis://localhost:port",
        "sqlite+cluster:///x",
        "http://localhost",
        "postgres://user:secret@localhost",
        "redis+cluster+cluster://localhost",
    ],
)
def test_rejects_invalid_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|sqlite needs"):
        open_store(url)


def test_message_does_not_contain_the_password() -> None:
    for url in ("redis://user:secret@localhost:port", "postgres://user:secret@localhost"):
        with pytest.raises(ValueError, match="URL") as error:
            open_store(url)
        assert "secret" not in str(error.value)


async def test_relative_and_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url, path in (
        ("sqlite:///a/b.db?create=true", tmp_path / "a" / "b.db"),
        (f"sqlite:///{tmp_path}/c/d.db?create=true", tmp_path / "c" / "d.db"),
        ("sqlite:///e.db", tmp_path / "e.db"),
    ):
        store = open_store(url)
        assert not path.exists()
        await store.open()
        assert path.is_file()
        await store.close()


async def test_missing_folder_or_file_is_named(tmp_path: Path) -> None:
    for store, reason in (
        (open_store(f"sqlite:///{tmp_path}/a/b.db"), f"{tmp_path}/a does not exist"),
        (open_store(f"sqlite:///{tmp_path}/b.db", create=False), "b.db: no such file"),
        (open_store(f"sqlite:///{tmp_path}/c/b.db?create=true", create=False), "no such file"),
    ):
        with pytest.raises(StoreUnavailableError, match=reason):
            await store.open()
        await store.close()
    assert list(tmp_path.iterdir()) == []


def test_timeout_reaches_the_store() -> None:
    redis = open_store("redis://localhost", timeout=60)
    assert isinstance(redis, RedisStore)
    assert redis._timeouts == Timeouts(deadline=60, connect=24, response=36)
    sqlite = open_store("sqlite:///x.db", timeout=60)
    assert isinstance(sqlite, SQLiteStore)
    assert sqlite._busy_timeout == 60
