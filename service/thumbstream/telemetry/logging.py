"""Configures logging to standard error, as text or as one JSON object per line.

Every line contains the process id. Lines that any module logs during a request also contain the
request id, and the trace id and span id if tracing is on. A filter of the handler adds these ids.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from datetime import UTC, datetime
from typing import Literal

from thumbstream.telemetry import tracing
from thumbstream.telemetry.request_ids import current_id

FIELDS = (
    *("request_id", "trace_id", "span_id", "client", "token", "method", "route", "id", "status"),
    *("bytes", "cache", "milliseconds"),
)
"""Extra attributes of a log record (``extra=``) that both formats contain."""


class TextFormatter(logging.Formatter):
    """Formats as ``2026-01-31T12:00:00 INFO thumbstream.server.app[4711]: text key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of text, followed by the traceback if the record has an exception."""
        origin = f"{record.name}[{record.process}]"
        line = f"{_time(record)[:19]} {record.levelname} {origin}: {record.getMessage()}"
        line += "".join(f" {key}={value}" for key, value in _fields(record).items())
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """Formats as ``{"time": .., "level": .., "logger": .., "pid": .., "message": .., ..}``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one JSON object; ``exception`` contains the traceback if there is one."""
        entry = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def add_request_context(record: logging.LogRecord) -> bool:
    """Add the ids of the current request and trace to ``record``; a filter that never rejects."""
    if not hasattr(record, "request_id"):
        found = current_id()
        if found is not None:
            record.request_id = found
    for name, value in tracing.ids().items():
        setattr(record, name, value)
    return True


def configure_logging(level: str, form: Literal["text", "json"]) -> None:
    """Send all logs of the process, including those of uvicorn, to standard error in one format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(add_request_context)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Pillow warns about damaged uploads, whose faults the response to the client describes.
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {key: getattr(record, key) for key in FIELDS if hasattr(record, key)}
