"""Logs: standard error only, as text or as JSON objects, and never with a secret in them."""

import json
import logging
import re
import sys
import time
from typing import Any

_logger = logging.getLogger("init_job")

MASK = "***"
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]*\.?[\w-]*")
_secrets: set[str] = set()


def hide(secret: str | None) -> None:
    """Mask this text in everything logged from now on.

    A text of fewer than six characters is left: masking `admin` would blank the account's name out of every
    message. The program itself never puts a secret into a message; this is for what servers and libraries say.
    """
    if secret and len(secret) >= 6:
        _secrets.add(secret)


def masked(text: str) -> str:
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _JWT.sub(MASK, text)


def _masked_field(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_masked_field(one) for one in value]
    return masked(value) if isinstance(value, str) else value


class _Text(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


class _Json(_Text):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", record.name),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps({name: _masked_field(value) for name, value in line.items()}, ensure_ascii=False)


def configure(log_format: str, level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    # Libraries are heard from warnings on, through the same mask.
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    _logger.setLevel(level.upper())


def _emit(level: int, event: str, message: str, fields: dict[str, Any]) -> None:
    # One line a message, whatever a server's text or a name brings along.
    text = "".join(c if c.isprintable() else " " for c in message)
    _logger.log(level, "%s", text, extra={"event": event, "fields": fields})


def debug(event: str, message: str, **fields: Any) -> None:
    _emit(logging.DEBUG, event, message, fields)


def info(event: str, message: str, **fields: Any) -> None:
    _emit(logging.INFO, event, message, fields)


def warning(event: str, message: str, **fields: Any) -> None:
    _emit(logging.WARNING, event, message, fields)


def error(event: str, message: str, **fields: Any) -> None:
    _emit(logging.ERROR, event, message, fields)


def result(exit_code: int, message: str) -> None:
    """The last line of a run."""
    level = logging.ERROR if exit_code else logging.INFO
    _emit(level, "result", f"exit {exit_code}: {message}", {"exit_code": exit_code})


def debug_traceback(error: BaseException) -> None:
    _logger.debug("traceback", exc_info=error, extra={"event": "traceback"})
