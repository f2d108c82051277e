"""The process that compiles, run as a script: what must come before imports of seconds."""

import ctypes
import os
import signal
import sys

#: Of linux/prctl.h: the signal that this process gets when the thread that started it ends, which
#: waits for it all the time.
_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Has this process end when its parent does, of that process id, whichever way that ends."""
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
