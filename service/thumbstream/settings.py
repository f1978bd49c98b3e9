"""Settings: the environment, read once, as one frozen object.

Every field is a variable ``THUMBSTREAM_<FIELD>``; docs/configuration.md lists them all. A variable
with the prefix that no field claims stops the start, because a misspelt limit that is silently
ignored is no limit. Nothing else in the package reads the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from thumbstream.errors import ThumbstreamError
from thumbstream.images.limits import ImageLimits

PREFIX = "THUMBSTREAM_"

NOT_SETTINGS = frozenset({"THUMBSTREAM_PICTURES"})
"""Variables with the prefix that belong to the benchmarks and tests, not to the service."""

MIB = 1024 * 1024

LEAST_KEY_BYTES = 16
"""A shorter read key could be found by trying."""


class SettingsError(ThumbstreamError):
    """The environment does not make sense; the text names the variable and what it may be."""


class Settings(BaseSettings):
    """Everything that can be chosen about a running service."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    # Where
    store: str = "sqlite:///thumbstream.db"
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    cors_origin: str = Field("*", pattern=r"^(\*|https?://[^\s/,]+)?$")

    # Who
    tokens: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    read_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    rate_limit: str = Field("", pattern=r"^([1-9][0-9]{0,6}/(second|minute|hour|day))?$")
    rate_limit_store: SecretStr = Field(SecretStr(""))
    forwarded_allow_ips: Annotated[tuple[str, ...], NoDecode] = ()

    # What a connection may take
    max_connections: int = Field(4096, ge=2)
    max_requests: int = Field(1024, ge=1)
    max_url_bytes: int = Field(8192, ge=256)
    max_header_bytes: int = Field(32_768, ge=1024)
    max_header_fields: int = Field(100, ge=8)
    header_timeout_seconds: float = Field(10.0, gt=0)
    send_timeout_seconds: float = Field(30.0, gt=0)

    # What is accepted
    max_upload_bytes: int = Field(20 * MIB, ge=1)
    max_uploads: int = Field(32, ge=1)
    upload_timeout_seconds: float = Field(60.0, gt=0)
    max_pixels: int = Field(50_000_000, ge=1)
    max_side: int = Field(30_000, ge=1)
    default_size: int = Field(32, ge=8, le=256, multiple_of=8)
    max_ids: int = Field(64, ge=1, le=1024)
    max_budget_ids: int = Field(512, ge=1, le=4096)
    decode_max_bytes: int = Field(65_535, ge=1)
    decode_max_pixels: int = Field(4 * MIB, ge=65_536)

    # How it is worked off
    models: Annotated[tuple[str, ...], NoDecode] = ()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    curves: bool = True
    encode_workers: int = Field(0, ge=0)
    encode_queue: int = Field(64, ge=0)
    work_timeout_seconds: float = Field(30.0, gt=0)
    retry_after_seconds: int = Field(1, ge=1)
    store_timeout_seconds: float = Field(5.0, gt=0)
    cache_bytes: int = Field(64 * MIB, ge=0)

    # How it starts, speaks and stops
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    access_log: bool = False
    keep_alive_seconds: int = Field(75, ge=1)
    drain_seconds: float = Field(2.0, ge=0)
    shutdown_seconds: int = Field(7, ge=1)

    @field_validator("tokens", "read_keys", "forwarded_allow_ips", "models", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part for part in (part.strip() for part in value.split(",")) if part)
        return value

    @field_validator("tokens")
    @classmethod
    def _with_secrets(cls, tokens: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(token.get_secret_value().endswith(":") for token in tokens):
            raise ValueError("a token is name:secret, or a secret alone")
        return tokens

    @field_validator("read_keys")
    @classmethod
    def _long_enough(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(key.get_secret_value().encode()) < LEAST_KEY_BYTES for key in keys):
            raise ValueError(f"a key has at least {LEAST_KEY_BYTES} bytes")
        return keys

    @field_validator("rate_limit_store")
    @classmethod
    def _redis_or_memory(cls, url: SecretStr) -> SecretStr:
        if not re.fullmatch(r"|rediss?://.+", url.get_secret_value()):
            raise ValueError("redis://host:port/db, rediss://.., or empty")
        return url

    @model_validator(mode="after")
    def _leave_places(self) -> Self:
        # Or a flood of requests would hold every connection, and /healthz would get none.
        if self.max_requests >= self.max_connections:
            raise ValueError(
                f"{variable('max_requests')} must be below {variable('max_connections')}"
            )
        return self

    @property
    def picture_limits(self) -> ImageLimits:
        """What one picture may cost."""
        return ImageLimits(self.max_upload_bytes, self.max_pixels, self.max_side)

    @property
    def threads(self) -> int:
        """Worker threads: ``encode_workers``, or one for each core."""
        return self.encode_workers or available_cores()


def available_cores() -> int:
    """Cores that this process may run on, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def load_settings(**chosen: Any) -> Settings:
    """The settings of this process's environment.

    ``chosen`` are fields that win over the environment, as a command line does. Raises
    `SettingsError` for a variable nobody knows and for a value out of range.
    """
    _refuse_unknown(os.environ)
    try:
        return Settings(**chosen)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None


def _refuse_unknown(names: Iterable[str]) -> None:
    known = NOT_SETTINGS | {variable(field) for field in Settings.model_fields}
    unknown = sorted(n for n in names if n.upper().startswith(PREFIX) and n.upper() not in known)
    if unknown:
        raise SettingsError(
            f"unknown setting{'s' * (len(unknown) > 1)} in the environment: {', '.join(unknown)} "
            "(docs/configuration.md lists all; a Kubernetes Service called 'thumbstream' injects "
            "such variables unless the pod sets enableServiceLinks: false)"
        )


def _explain(error: ValidationError) -> str:
    # Never the input itself: it may be a secret.
    return "; ".join(
        f"{variable(str(item['loc'][0])) if item['loc'] else 'settings'}: {item['msg']}"
        for item in error.errors(include_input=False, include_url=False, include_context=False)
    )
