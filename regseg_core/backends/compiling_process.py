"""The process that compiles, run as a script: what must come before imports of seconds.

It ends with its parent, whichever way that ends, and by nothing else: a Ctrl-C or a service manager
that signals the whole group means the parent, which then ends this one.
"""

import ctypes
import os
import signal
import sys

#: Of linux/prctl.h: the signal that this process gets when the thread that started it ends, which
#: waits for it all the time.
_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Binds this process to its parent, of that process id."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the process that wanted this has ended")


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    del sys.path[0]  # This folder: its onnx.py and openvino.py are not the libraries.
    from regseg_core.backends.child import main

    main()
