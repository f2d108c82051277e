"""SIGINT and SIGTERM, from before the imports, which take seconds, until the process is gone.

Python runs a signal's handler between two lines of the main thread, which may be inside a C library
for seconds. So a thread of its own waits for them: it sees one at once.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class _Ending:
    """How the process ends in order, and the seconds that this may take."""

    begin: Callable[[], None]
    seconds: float


_lock = threading.Lock()
_ending: _Ending | None = None
_caught = False
_done = False


def catch(status: int = 0) -> None:
    """From now on SIGINT and SIGTERM end this process with a status: at once, until `end_by`.

    To be called in the main thread; a second call changes nothing.
    """
    global _caught
    if _caught:
        return
    _caught = True
    # The last of all exit functions, since it is the first that is registered.
    atexit.register(_leave)
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_wait, args=(read, status), name="signals", daemon=True).start()
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)  # the thread does the work


def end_by(begin: Callable[[], None], seconds: float) -> None:
    """From now on the first signal calls `begin`, in another thread; those after it do nothing.

    A process that is still there `seconds` later, such as one that is stuck in a C library, is
    ended where it stands, with the same status. It leaves behind what a killed one does.
    """
    global _ending
    with _lock:
        _ending = _Ending(begin, seconds)


def ignore() -> None:
    """From now on signals do nothing, also while the interpreter is taken down."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def done() -> None:
    """All has ended in order: the process leaves with status 0 after its exit functions.

    Taking the interpreter down takes a second with PyTorch, and threads of C libraries may crash.
    """
    global _done
    _done = True


def _wait(read: int, status: int) -> None:
    while os.read(read, 1)[0] not in _SIGNALS:
        pass
    with _lock:
        if _ending is None:
            os._exit(status)  # Nothing has begun that would need an end.
    limit = threading.Timer(_ending.seconds, _end_here, (_ending.seconds, status))
    limit.daemon = True
    limit.start()
    _ending.begin()


def _end_here(seconds: float, status: int) -> None:
    print(f"ending took over {seconds:g} s: ended without cleaning up", file=sys.stderr, flush=True)
    os._exit(status)


def _leave() -> None:
    if _done:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
