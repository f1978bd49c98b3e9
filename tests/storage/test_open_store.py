"""Which URL opens which store, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from thumbstream.storage import open_store
from thumbstream.storage.redis import RedisStore
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
def test_the_scheme_chooses_the_store(url: str, kind: type, name: str) -> None:
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
def test_any_other_url_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|sqlite needs"):
        open_store(url)


def test_the_message_never_repeats_a_password() -> None:
    for url in ("redis://user:secret@localhost:port", "postgres://user:secret@localhost"):
        with pytest.raises(ValueError, match="URL") as refused:
            open_store(url)
        assert "secret" not in str(refused.value)


async def test_relative_and_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url, path in (
        ("sqlite:///a/b.db", tmp_path / "a" / "b.db"),
        (f"sqlite:///{tmp_path}/c/d.db", tmp_path / "c" / "d.db"),
    ):
        store = open_store(url)
        assert not path.exists()
        await store.open()
        assert path.is_file()
        await store.close()
