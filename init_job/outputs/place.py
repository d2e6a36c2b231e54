"""Where an output's bytes are kept, and standard output, where nothing is kept."""

import os
import select
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from init_job import signals, state
from init_job.errors import OutputError

Edit = Callable[[bytes], bytes | None]
"""From what is there (nothing: empty) to what shall be there; None: nothing. Pure, and called anew for each change."""
PATIENCE = 10.0  # seconds that whoever reads standard output may take to go on with it


class Place(ABC):
    memory = ""
    """The path of the state file of a job that has its outputs here; empty: there is none."""
    is_kept = True
    """What is written can be read again, and what is remembered of it as well."""
    is_in_doubt = False
    """What was written last may be there or not, and there is no telling."""

    @abstractmethod
    def __str__(self) -> str:
        """As a person would name it."""

    @contextmanager
    def remembering(self, patience: float | None) -> Iterator[state.Memory]:
        """What is remembered of the key whose token is here, for this run alone, after `patience` seconds of waiting at
        most; None: it is only looked at. Raises NotReady, OutputError, and Overtaken where others are not kept out."""
        if not self.memory or patience is None:
            yield state.Memory(state.peek(self.memory) if self.memory else state.State())
            return
        with state.locked(self.memory, patience) as memory:
            yield memory

    @abstractmethod
    def read(self, anyones: bool = False) -> bytes:
        """What is there; `anyones`: whoever has put it there. Raises OutputError."""

    @abstractmethod
    def change(self, edit: Edit, only_try: bool = False) -> bool:
        """Whether anything has to change; `only_try`: all but the last step, and leave no trace. Raises OutputError;
        what was there before is then whole."""


class StandardOutput(Place):
    is_kept = False

    def __init__(self, variable: str) -> None:
        self._variable = variable

    def __str__(self) -> str:
        return "standard output"

    def read(self, anyones: bool = False) -> bytes:
        return b""

    def change(self, edit: Edit, only_try: bool = False) -> bool:
        content = edit(b"")
        if not content:
            return False
        if sys.stdout is None:  # so Python says that it was closed from the start
            raise self._error("it is closed")
        try:
            fd = sys.stdout.fileno()
            # As bytes, whatever the locale makes of text; and past Python's buffer, or its own lack of one.
            signals.call(lambda: _write(fd, b"" if only_try else content))
        except (OSError, ValueError) as error:
            raise self._error(getattr(error, "strerror", "") or "it is closed") from error
        return True

    def _error(self, reason: str) -> OutputError:
        return OutputError(
            f"{self._variable}: standard output cannot be written: {reason}", "whoever reads it must read to the end"
        )


def _write(fd: int, content: bytes) -> None:
    """All of it. Raises OSError. Of nothing, nothing is written, and yet a full or a read-only device says so, and a
    pipe says that its reader is gone, or that it does not read."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    while True:
        events = poll.poll(1000 * PATIENCE)
        if not events or events[0][1] & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
            raise BrokenPipeError(0, "nobody reads it")
        content = content[os.write(fd, content) :]
        if not content:
            return
