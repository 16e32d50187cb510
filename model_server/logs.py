"""Logs: one JSON object a line on standard output, never a request's payload."""

import logging
import sys
from datetime import UTC, datetime

import orjson

LOGGER = logging.getLogger("modelstack")


class JsonLines(logging.Formatter):
    """Formats a record, and the mapping given as `extra={"fields": …}`, as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return `record` as JSON."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            line.update(fields)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def configure(level: str) -> None:
    """Send every logger's records to standard output at `level` and above."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # uvicorn tells its own start and stop at INFO; the server says the same once, with more in it.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def write(level: int, message: str, **fields: object) -> None:
    """Write one line with `fields` beside the message."""
    LOGGER.log(level, message, extra={"fields": fields})
