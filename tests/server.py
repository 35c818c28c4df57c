"""The page as a process of its own, as a user starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

APP = Path(__file__).parents[1] / "app.py"


class Server:
    """The page, started here and stopped by `close`.

    folder: where it runs and keeps its files. command: `python app.py`, if None. inherited: its
    environment, that of this process if None. environment: beside that. output: what it printed.
    """

    def __init__(
        self,
        folder: Path,
        command: Sequence[str | Path] | None = None,
        inherited: Mapping[str, str] | None = None,
        **environment: str,
    ) -> None:
        self.output = ""
        places = {
            "FASTRCNN_CACHE": str(folder / "cache"),
            "TMPDIR": str(folder),
            "PYTHONUNBUFFERED": "1",
        }
        self._process = subprocess.Popen(
            command or [sys.executable, APP],
            cwd=folder,
            env={**(os.environ if inherited is None else inherited), **places, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()
        deadline = time.monotonic() + 300
        while not (found := re.search(r"http://\S+", self.output)):
            assert self._process.poll() is None and time.monotonic() < deadline, self.output
            time.sleep(0.1)
        self.address = found[0].rstrip("/")

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output += line

    def memory(self) -> int:
        """Bytes that it has resident now."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def counts(self) -> tuple[int, int]:
        """Its threads and its open files."""
        place = Path(f"/proc/{self._process.pid}")
        return len(list((place / "task").iterdir())), len(list((place / "fd").iterdir()))

    def settled_memory(self, patience: float = 120.0) -> int:
        """Its memory once that no longer falls, when everybody has left."""
        lowest, since = self.memory(), time.monotonic()
        deadline = since + patience
        while time.monotonic() < min(since + 10, deadline):
            time.sleep(0.5)
            if (now := self.memory()) < 0.998 * lowest:
                lowest, since = now, time.monotonic()
        return self.memory()

    def is_alive(self) -> bool:
        return (
            self._process.poll() is None
            and httpx.get(f"{self.address}/config", timeout=60).status_code == 200
        )

    def interrupt(self) -> int:
        """End it as Ctrl-C does. Returns its exit status."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(60)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(60)
