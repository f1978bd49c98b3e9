from __future__ import annotations

import pytest
from pydantic import ValidationError

from thumbstream.settings import Settings, SettingsError, available_cores, load_settings


def test_defaults_need_no_environment() -> None:
    settings = load_settings()
    assert settings.store == "sqlite:///thumbstream.db"
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.tokens == ()
    assert settings.workers == available_cores() >= 1


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THUMBSTREAM_PORT", "9000")
    monkeypatch.setenv("THUMBSTREAM_TOKENS", " one, two ,,")
    monkeypatch.setenv("THUMBSTREAM_MODELS", "a,b")
    monkeypatch.setenv("THUMBSTREAM_ENCODE_WORKERS", "3")
    monkeypatch.setenv("THUMBSTREAM_PICTURES", "/photos")  # the benchmarks' own
    settings = load_settings()
    assert settings.port == 9000
    assert [token.get_secret_value() for token in settings.tokens] == ["one", "two"]
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


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize("path", ["thumbs", "/", "/a/", "//a", "/a b", "/t", "/web/x", "https://a"])
def test_rejects_invalid_root_paths(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("THUMBSTREAM_ROOT_PATH", path)
    with pytest.raises(SettingsError, match="THUMBSTREAM_ROOT_PATH"):
        load_settings()


def test_settings_are_few() -> None:
    assert len(Settings.model_fields) <= 33
