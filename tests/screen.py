"""A terminal: what is written to its other end is seen as an emulator makes it of the bytes."""

import fcntl
import os
import struct
import termios
from collections.abc import Callable

import pyte

_ROWS = 60


class Screen:
    """What is seen, and what was sent, until the other end is closed."""

    def __init__(self, columns: int = 0) -> None:
        """Without columns it does not say how wide it is."""
        self._master, self.other_end = os.openpty()
        fcntl.ioctl(self.other_end, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS if columns else 0, columns, 0, 0))
        self._emulator = pyte.Screen(columns or 80, _ROWS)
        self._stream = pyte.ByteStream(self._emulator)
        self.sent = b""

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._emulator.display if line.strip()]

    @property
    def rows(self) -> list[list[tuple[str, str]]]:
        """All of it: the characters of each row, and their colours."""
        buffer = self._emulator.buffer
        cells = ([buffer[row][column] for column in range(self._emulator.columns)] for row in range(_ROWS))
        return [[(cell.data, cell.fg) for cell in row] for row in cells]

    def colour(self, text: str) -> str:
        """Of the first character of this text."""
        row, line = next((row, line) for row, line in enumerate(self._emulator.display) if text in line)
        return str(self._emulator.buffer[row][line.index(text)].fg)

    def until(self, is_seen: Callable[[list[str]], bool]) -> None:
        while not is_seen(self.lines):
            assert self._read(), self.lines

    def to_the_end(self) -> None:
        while self._read():
            pass
        os.close(self._master)

    def _read(self) -> bytes:
        try:
            found = os.read(self._master, 65536)
        except OSError:  # EIO: nobody has the other end open
            return b""
        self.sent += found
        self._stream.feed(found)
        return found
