"""Settings of the service, read from environment variables into one frozen object.

Every field of `Settings` is set by the variable ``THUMBSTREAM_<FIELD>``; docs/configuration.md
lists all fields. A secret may instead be in a file that ``THUMBSTREAM_<FIELD>_FILE`` names. An
unknown variable with this prefix is an error at startup, so that a misspelt limit is not ignored
silently. No other module reads variables with this prefix.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from thumbstream.codec.effort import Effort
from thumbstream.errors import ThumbstreamError
from thumbstream.images.limits import ImageLimits

PREFIX = "THUMBSTREAM_"

NOT_SETTINGS = frozenset({"THUMBSTREAM_PICTURES"})
"""Variables that have the prefix but are read by benchmarks and tests, not by the service."""

MIB = 1024 * 1024

SECRETS = frozenset({"store", "tokens", "read_keys", "rate_limit_store"})
"""Fields that may be read from a file; a URL may contain a password."""

URLS = frozenset({"store", "rate_limit_store"})
"""Those of `SECRETS` whose file has one line."""

FILE_SUFFIX = "_FILE"

MIN_KEY_BYTES = 16
"""Minimum length of a read key: a shorter key could be guessed."""

MIN_TOKEN_BYTES = 8
"""Minimum length of a token's secret."""

MAX_WORKERS_PER_CORE = 8
MAX_WORKERS = 64
"""Most worker processes, or `MAX_WORKERS_PER_CORE` if that is more. Beyond one for each core they
only take memory."""

AMBIGUOUS_ROOTS = ("client", "decode", "t", "thumb", "web")


class SettingsError(ThumbstreamError):
    """A setting is unknown or invalid; the message names the variable and the reason."""


class Settings(BaseSettings):
    """The settings of the service; docs/configuration.md describes every field."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    # Storage and listening
    store: str = "sqlite:///thumbstream.db"
    store_timeout_seconds: float = Field(5.0, gt=0)
    retention_days: int = Field(0, ge=0, le=36_500)
    cache_bytes: int = Field(64 * MIB, ge=0)
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    root_path: str = Field("", pattern=r"^(/[A-Za-z0-9._~-]+)*$")
    cors_origin: str = Field("*", pattern=r"^(\*|https?://[^\s/,]+)?$")

    # Authentication
    tokens: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    read_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    rate_limit: str = Field("", pattern=r"^([1-9][0-9]{0,6}/(second|minute|hour|day))?$")
    rate_limit_store: SecretStr = Field(SecretStr(""))
    forwarded_allow_ips: Annotated[tuple[str, ...], NoDecode] = ()

    # Connection limits
    max_connections: int = Field(4096, ge=2)
    keep_alive_seconds: int = Field(75, ge=1)

    # Upload limits
    max_upload_bytes: int = Field(20 * MIB, ge=1)
    max_concurrent_uploads: int = Field(32, ge=1)
    upload_timeout_seconds: float = Field(60.0, gt=0)
    max_pixels: int = Field(50_000_000, ge=1)

    # Processing
    models: Annotated[tuple[str, ...], NoDecode] = ()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    default_size: int = Field(32, ge=8, le=256, multiple_of=8)
    effort: Effort = Effort.DEFAULT
    measure_curves: bool = True
    encode_workers: int = Field(0, ge=0)
    encode_queue: int = Field(64, ge=0)
    job_timeout_seconds: float = Field(30.0, gt=0)
    job_cpu_seconds: float = Field(3.0, gt=0)
    job_memory_bytes: int = Field(1024 * MIB, ge=256 * MIB)

    # Logging and shutdown
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    access_log: bool = False
    drain_seconds: float = Field(2.0, ge=0)
    shutdown_seconds: int = Field(7, ge=1)

    @field_validator("tokens", "read_keys", "forwarded_allow_ips", "models", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if isinstance(value, str):  # a file may have one on each line
            parts = (part.strip() for part in re.split(r"[,\n]", value))
            return tuple(part for part in parts if part)
        return value

    @field_validator("tokens")
    @classmethod
    def _check_tokens(cls, tokens: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        secrets = [token.get_secret_value().partition(":") for token in tokens]
        if any(colon and not secret for _, colon, secret in secrets):
            raise ValueError("expected name:secret, or a secret alone")
        if any(len((secret or name).encode()) < MIN_TOKEN_BYTES for name, _, secret in secrets):
            raise ValueError(f"expected secrets of at least {MIN_TOKEN_BYTES} bytes")
        return tokens

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _check_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            try:
                if network != "*":
                    ipaddress.ip_network(network)
            except ValueError as error:
                raise ValueError(f"expected addresses, networks or *: {error}") from None
        return networks

    @field_validator("encode_workers")
    @classmethod
    def _check_workers(cls, workers: int) -> int:
        limit = max(MAX_WORKERS, MAX_WORKERS_PER_CORE * available_cores())
        if workers > limit:
            raise ValueError(f"expected at most {limit}")
        return workers

    @field_validator("read_keys")
    @classmethod
    def _check_key_length(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(key.get_secret_value().encode()) < MIN_KEY_BYTES for key in keys):
            raise ValueError(f"expected keys of at least {MIN_KEY_BYTES} bytes")
        return keys

    @field_validator("rate_limit_store")
    @classmethod
    def _check_rate_limit_store(cls, url: SecretStr) -> SecretStr:
        if not re.fullmatch(r"|rediss?://.+", url.get_secret_value()):
            raise ValueError("expected redis://host:port/db, rediss://... or nothing")
        return url

    @field_validator("root_path")
    @classmethod
    def _check_root_path(cls, path: str) -> str:
        # Routes of the service begin with these segments, so a path would not show whether a proxy
        # has stripped the prefix.
        if path and path.split("/")[1] in AMBIGUOUS_ROOTS:
            raise ValueError(f"expected another first segment than {', '.join(AMBIGUOUS_ROOTS)}")
        return path

    @property
    def max_concurrent_requests(self) -> int:
        """Limit of requests in flight: a quarter of `max_connections`.

        The rest of the connections stays available for /healthz.
        """
        return max(1, self.max_connections // 4)

    @property
    def image_limits(self) -> ImageLimits:
        """Limits of bytes and pixels of one uploaded picture."""
        return ImageLimits(max_bytes=self.max_upload_bytes, max_pixels=self.max_pixels)

    @property
    def workers(self) -> int:
        """Number of worker processes: ``encode_workers``, or the number of cores if that is 0."""
        return self.encode_workers or available_cores()


def available_cores() -> int:
    """Return the number of cores that this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def variable(field: str) -> str:
    """Return the name of the environment variable that sets a field of `Settings`."""
    return PREFIX + field.upper()


def load_settings(**chosen: Any) -> Settings:
    """Read the settings from the environment of this process.

    ``chosen``: values of fields, such as command line options, which override the environment.
    Raises `SettingsError` for an unknown variable, an invalid value or an unreadable or empty file.
    """
    _reject_unknown(os.environ)
    try:
        return Settings(**(_read_secret_files() | chosen))
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None


def _read_secret_files() -> dict[str, str]:
    values = {}
    environment = {name.upper(): value for name, value in os.environ.items()}
    for field in sorted(SECRETS):
        name = variable(field) + FILE_SUFFIX
        path = environment.get(name)
        if not path:
            continue
        if variable(field) in environment:
            raise SettingsError(f"{name}: {variable(field)} is set as well; use one of them")
        try:
            text = _read_file(Path(path))
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{name}: cannot read {path}: {_reason(error)}") from None
        # In files of any kind, lines that begin with # are comments, not secrets.
        lines = [line for line in text.split("\n") if line.strip() and line.lstrip()[0] != "#"]
        if not lines:  # a secret that was not filled in would open the service to everyone
            raise SettingsError(f"{name}: {path} is empty")
        if len(lines) > 1 and field in URLS:
            raise SettingsError(f"{name}: expected one line in {path}, got {len(lines)}")
        values[field] = "\n".join(lines).strip()
    return values


def _read_file(path: Path) -> str:
    if path.exists() and not path.is_file():  # reading a pipe could wait forever
        raise OSError(None, "not a regular file")
    return path.read_text(encoding="utf-8-sig")


def _reason(error: OSError | UnicodeDecodeError) -> str:
    # Not the text of a UnicodeDecodeError, which has bytes of the secret.
    return error.strerror or str(error) if isinstance(error, OSError) else "not UTF-8"


def _reject_unknown(names: Iterable[str]) -> None:
    known = NOT_SETTINGS | {variable(field) for field in Settings.model_fields}
    known |= {variable(field) + FILE_SUFFIX for field in SECRETS}
    unknown = sorted(n for n in names if n.upper().startswith(PREFIX) and n.upper() not in known)
    if unknown:
        raise SettingsError(
            f"unknown setting{'s' * (len(unknown) > 1)} in the environment: {', '.join(unknown)} "
            "(docs/configuration.md lists all; a Kubernetes Service called 'thumbstream' injects "
            "such variables unless the pod sets enableServiceLinks: false)"
        )


def _explain(error: ValidationError) -> str:
    # Without the rejected values: a value may be a secret.
    return "; ".join(
        f"{variable(str(item['loc'][0])) if item['loc'] else 'settings'}: "
        f"{item['msg'].removeprefix('Value error, ')}"
        for item in error.errors(include_input=False, include_url=False, include_context=False)
    )
