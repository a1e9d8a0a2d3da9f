"""The end of a child process with its parent, however the parent ends: the child watches a pipe on its standard input.

Nobody ever writes to that pipe. When the parent is gone, killed or not, the kernel closes its end.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Final

GRACE_SECONDS: Final = 1.5
"""For a clean end; then the process ends at once, which costs nothing that was durable."""


def end_with_parent() -> None:
    """From now on, end this process when its standard input ends."""
    threading.Thread(target=_watch, args=(sys.stdin.fileno(),), name="parent", daemon=True).start()


def _watch(descriptor: int) -> None:
    # not through sys.stdin: its lock would be held when the interpreter ends
    try:
        while os.read(descriptor, 1024):
            pass
    except OSError:
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)
