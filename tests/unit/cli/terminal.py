"""The program in a terminal of its own: what it shows there, and what a person types into it."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE = 30.0
KEYS_OF_OTHERS = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "NO_COLOR", "COLUMNS")


class Terminal:
    """One command on a pseudo-terminal; `shown` is every byte it wrote there."""

    def __init__(self, folder: Path, *arguments: str, **env: str) -> None:
        self._master, slave = pty.openpty()
        inherited = {name: value for name, value in os.environ.items() if name not in KEYS_OF_OTHERS}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "batchflow", *arguments],
            cwd=folder,
            env=inherited | {"TERM": "xterm-256color"} | env,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.shown = b""

    def wait_for(self, text: str) -> None:
        """Read until the text was shown."""
        until = time.monotonic() + PATIENCE
        while text.encode() not in self.shown:
            if not self._read(until):
                raise AssertionError(f"{text!r} was never shown:\n{self.text()}")

    def enter(self, text: str) -> None:
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self.send(signal.SIGINT)

    def send(self, number: signal.Signals) -> None:
        os.kill(self._process.pid, number)

    def end(self, within: float = PATIENCE) -> int:
        """Read until the program has ended; returns its status. Raises TimeoutExpired after so many seconds."""
        until = time.monotonic() + within
        while self._read(until):
            pass
        return self._process.wait(max(0.1, until - time.monotonic()))

    def text(self) -> str:
        """What was shown, without the bytes that move the cursor or colour the text."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.shown.decode("utf-8", "backslashreplace")).replace("\r", "")

    def _read(self, until: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return False
        try:
            piece = os.read(self._master, 65536)
        except OSError:  # the last process has let the terminal go
            return False
        self.shown += piece
        return bool(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)
