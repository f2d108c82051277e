"""What a process takes of the machine, as the kernel counts it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Memory:
    """Of one process, in MiB."""

    resident: float
    #: Its share of what it has in common with others.
    proportional: float
    #: What nobody else has: it is free again when the process ends.
    private: float
    #: The most that was ever resident.
    peak: float


def processor_seconds(pid: int) -> float:
    """Seconds of processor time that all threads of a process have used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory(pid: int) -> Memory:
    """What a process takes now."""
    sizes = {
        line.split()[0]: int(line.split()[1]) / 1024
        for name in ("smaps_rollup", "status")
        for line in Path(f"/proc/{pid}/{name}").read_text().splitlines()
        if line.endswith(" kB")
    }
    private = sizes["Private_Clean:"] + sizes["Private_Dirty:"]
    return Memory(sizes["Rss:"], sizes["Pss:"], private, sizes["VmHWM:"])
