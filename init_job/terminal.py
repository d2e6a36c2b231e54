"""The log on a terminal: for a person who looks on, so without times, in colours, and with a line that counts down.

The text is the formatter's, as everywhere: what is masked there is masked here. Whatever else comes in a line (a
library's warning, an exception's text) may be a server's words, so nothing of it is left that could steer a terminal.
"""

import logging
import os
from contextlib import suppress
from itertools import accumulate
from typing import TextIO
from unicodedata import east_asian_width

_ERASE = "\r\x1b[K"
_RED, _GREEN, _YELLOW, _DIM = "31", "32", "33", "2"
_WIDTH = 80  # where the terminal does not say


class Terminal(logging.StreamHandler[TextIO]):
    """A record that has `in_place` stays on the last line until the next record comes."""

    def __init__(self, stream: TextIO, is_coloured: bool) -> None:
        super().__init__(stream)
        self._is_coloured = is_coloured
        self._shown = ""

    def emit(self, record: logging.LogRecord) -> None:
        line = _harmless(self.format(record))
        before = _ERASE if self._shown else ""
        if getattr(record, "in_place", False):
            # A full line would make some terminals begin the next one.
            line = fitting(line, self._columns() - 1) if record.getMessage() else ""
            if line != self._shown:
                self._shown = line
                self._write(before + line)
            return
        self._shown = ""
        self._write(f"{before}{self._in_colour(record, line)}\n")

    def close(self) -> None:
        """However the run ends, what is shown in place does not stay."""
        if self._shown:
            self._shown = ""
            self._write(_ERASE)
        super().close()

    def _write(self, text: str) -> None:
        with suppress(OSError):  # the window was closed: the job goes on
            self.stream.write(text)
            self.flush()

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self.stream.fileno()).columns or _WIDTH
        except (OSError, ValueError):
            return _WIDTH

    def _in_colour(self, record: logging.LogRecord, line: str) -> str:
        """The first word says it as well: colours are lost in a copy, and on some eyes."""
        if getattr(record, "event", "") == "result":
            code, _, line = line.partition(":")
            return self._painted(_RED if record.levelno >= logging.ERROR else _GREEN, code) + f":{line}"
        if record.levelno >= logging.ERROR:
            return f"{self._painted(_RED, 'error:')} {line}"
        if record.levelno >= logging.WARNING:
            return f"{self._painted(_YELLOW, 'warning:')} {line}"
        return line if record.levelno >= logging.INFO else self._painted(_DIM, line)

    def _painted(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._is_coloured else text


def fitting(line: str, columns: int) -> str:
    """As much of it as has room."""
    ends = list(accumulate(2 if east_asian_width(char) in "FW" else 1 for char in line))
    if not ends or ends[-1] <= columns:
        return line
    return line[: sum(end < columns for end in ends)] + "…" if columns > 0 else ""


def _harmless(text: str) -> str:
    """Lines stay: a traceback has several."""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)
