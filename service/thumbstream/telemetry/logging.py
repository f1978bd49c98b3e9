"""Log lines on standard error: text for people, or one JSON object a line for machines.

Every line names its process. A line that is written on behalf of a request, wherever that is, names
the request, and the trace where traces are on: a filter of the handler adds them.
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
"""Members that a record may carry (``extra=``) and that both forms show."""


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


def on_whose_behalf(record: logging.LogRecord) -> bool:
    """A filter that lets every record pass, with the ids of its request and its trace."""
    if not hasattr(record, "request_id"):
        found = current_id()
        if found is not None:
            record.request_id = found
    for name, value in tracing.ids().items():
        setattr(record, name, value)
    return True


def configure_logging(level: str, form: Literal["text", "json"]) -> None:
    """Sends the whole process's log, uvicorn's too, to standard error in one form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(on_whose_behalf)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Of broken uploads; the answer to the client says what was wrong with them.
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {key: getattr(record, key) for key in FIELDS if hasattr(record, key)}
