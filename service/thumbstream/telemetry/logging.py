"""Logs on standard error: text for people, or one JSON object a line for machines.

Every line has the process id. Lines written for a request, in whatever module, have its id, and the
ids of its trace if tracing is on: a filter of the handler adds them.
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

FIELDS = ("request_id", "trace_id", "span_id", "method", "route", "status", "milliseconds", "token")
"""Members of a record (``extra=``) that both formats show."""


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00 INFO thumbstream.server.app[4711]: text key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a traceback below it where there is one."""
        origin = f"{record.name}[{record.process}]"
        line = f"{_time(record)[:19]} {record.levelname} {origin}: {record.getMessage()}"
        line += "".join(f" {key}={value}" for key, value in _fields(record).items())
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """``{"time": .., "level": .., "logger": .., "pid": .., "message": .., ..}``."""

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object."""
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
    """A filter that passes every record and adds the ids of its request and trace."""
    if not hasattr(record, "request_id"):
        found = current_id()
        if found is not None:
            record.request_id = found
    for name, value in tracing.ids().items():
        setattr(record, name, value)
    return True


def configure_logging(level: str, form: Literal["text", "json"]) -> None:
    """Sends the log of the process, uvicorn's included, to standard error in one format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(add_request_context)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # About damaged uploads; the response to the client says what is wrong with them.
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {key: getattr(record, key) for key in FIELDS if hasattr(record, key)}
