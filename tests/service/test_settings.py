from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from thumbstream.settings import (
    SECRETS,
    Settings,
    SettingsError,
    available_cores,
    load_settings,
)


def test_defaults_need_no_environment() -> None:
    settings = load_settings()
    assert settings.store == "sqlite:///thumbstream.db"
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.tokens == ()
    assert settings.workers == available_cores() >= 1


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMBSTREAM_PORT", "9000")
    monkeypatch.setenv("THUMBSTREAM_TOKENS", " first-one, b:second-one ,,")
    monkeypatch.setenv("THUMBSTREAM_MODELS", "a,b")
    monkeypatch.setenv("THUMBSTREAM_ENCODE_WORKERS", "3")
    monkeypatch.setenv("THUMBSTREAM_PICTURES", "/photos")  # the benchmarks' own
    settings = load_settings()
    assert settings.port == 9000
    assert [token.get_secret_value() for token in settings.tokens] == [
        "first-one",
        "b:second-one",
    ]
    assert settings.models == ("a", "b")
    assert settings.workers == 3


def test_arguments_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMBSTREAM_PORT", "9000")
    assert load_settings(port=9001).port == 9001


def test_unknown_variable_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMBSTREAM_MAX_UPLOAD_BYTE", "1")
    with pytest.raises(SettingsError, match="THUMBSTREAM_MAX_UPLOAD_BYTE"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "99999"),
        ("PORT", "tcp://10.0.0.1:8000"),
        ("DEFAULT_SIZE", "33"),
        ("DEFAULT_SIZE", "264"),
        ("MAX_UPLOAD_BYTES", "0"),
        ("DEVICE", "tpu"),
        ("CORS_ORIGIN", "example.com, other.com"),
        ("JOB_TIMEOUT_SECONDS", "0"),
        ("LOG_LEVEL", "loud"),
        ("ENCODE_WORKERS", "1000"),
        ("TOKENS", "x"),
        ("TOKENS", "a-long-enough-secret,name:short"),
        ("TOKENS", "name:"),
        ("READ_KEYS", "short"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.0/33"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.1/8"),
        ("FORWARDED_ALLOW_IPS", "127.0.0.1,proxy.example"),
        ("RETENTION_DAYS", "-1"),
    ],
)
def test_invalid_value_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"THUMBSTREAM_{name}", value)
    with pytest.raises(SettingsError, match=f"THUMBSTREAM_{name}: "):
        load_settings()


def test_secrets_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMBSTREAM_TOKENS", "hush-hush")
    settings = load_settings()
    assert "hush" not in repr(settings)
    assert "hush" not in str(settings.model_dump())


def test_every_secret_can_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kinds = {name: str(field.annotation) for name, field in Settings.model_fields.items()}
    assert {"store"} | {name for name, kind in kinds.items() if "SecretStr" in kind} == SECRETS
    for name, text in {
        "STORE": "redis://:password@host\n",
        "TOKENS": "a:first-secret\nb:second-secret,third-secret\n",
        "READ_KEYS": "a key of 16 bytes or more\n",
        "RATE_LIMIT_STORE": "redis://host",
    }.items():
        (tmp_path / name).write_text(text)
        monkeypatch.setenv(f"THUMBSTREAM_{name}_FILE", str(tmp_path / name))
    settings = load_settings()
    assert settings.store == "redis://:password@host"
    tokens = [token.get_secret_value() for token in settings.tokens]
    assert tokens == ["a:first-secret", "b:second-secret", "third-secret"]
    assert settings.read_keys[0].get_secret_value() == "a key of 16 bytes or more"
    assert settings.rate_limit_store.get_secret_value() == "redis://host"
    assert load_settings(store="sqlite:///x.db").store == "sqlite:///x.db"
    monkeypatch.setenv("THUMBSTREAM_TOKENS", "a-long-enough-secret")
    with pytest.raises(SettingsError, match=r"TOKENS_FILE: THUMBSTREAM_TOKENS is set as well"):
        load_settings()


def test_file_of_a_url_has_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "store"
    monkeypatch.setenv("THUMBSTREAM_STORE_FILE", str(file))
    file.write_text("# the store\n\nredis://host\n")
    assert load_settings().store == "redis://host"
    file.write_text("redis://host\nredis://other\n")
    with pytest.raises(SettingsError, match=r"STORE_FILE: expected one line in .*, got 2"):
        load_settings()
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(SettingsError, match=r"STORE_FILE: cannot read .*: not a regular file"):
        load_settings()


def test_file_of_a_secret_must_be_readable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    monkeypatch.setenv("THUMBSTREAM_TOKENS_FILE", str(file))
    with pytest.raises(SettingsError, match=r"TOKENS_FILE: cannot read .*No such file"):
        load_settings()
    file.write_bytes(b"secret-\xff")
    with pytest.raises(SettingsError, match="not UTF-8") as error:
        load_settings()
    assert "secret-" not in str(error.value)
    file.write_text("\n")  # or the service would be open to everyone
    with pytest.raises(SettingsError, match=r"TOKENS_FILE: .* is empty"):
        load_settings()
    file.write_text("# tokens\n\n  # none yet\n")
    with pytest.raises(SettingsError, match=r"TOKENS_FILE: .* is empty"):
        load_settings()
    file.write_text("# shop\nshop:long-enough # no comment\n")
    assert [t.get_secret_value() for t in load_settings().tokens] == [
        "shop:long-enough # no comment"
    ]
    file.write_text("\ufeffalice:long-enough\n")
    assert load_settings().tokens[0].get_secret_value() == "alice:long-enough"
    monkeypatch.delenv("THUMBSTREAM_TOKENS_FILE")
    monkeypatch.setenv("THUMBSTREAM_PORT_FILE", str(file))
    with pytest.raises(SettingsError, match=r"unknown setting.*PORT_FILE"):
        load_settings()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize("path", ["thumbs", "/", "/a/", "//a", "/a b", "/t", "/web/x", "https://a"])
def test_rejects_invalid_root_paths(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("THUMBSTREAM_ROOT_PATH", path)
    with pytest.raises(SettingsError, match="THUMBSTREAM_ROOT_PATH"):
        load_settings()


def test_settings_are_few() -> None:
    assert len(Settings.model_fields) <= 34
