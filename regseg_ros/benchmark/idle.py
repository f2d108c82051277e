"""What a node costs that nobody listens to."""

from __future__ import annotations

import time
from collections.abc import Iterator

from regseg_ros.benchmark.bench import Bench
from regseg_ros.benchmark.rows import Aim, Row
from regseg_ros.benchmark.stage import Stage

#: Seconds after which a node that has started does nothing more.
_CALM = 4.0


def idle(bench: Bench) -> Iterator[Row]:
    load = bench.load(height=1080, width=1920, rate=30.0, seconds=10.0)
    with Stage(load, bench.cache, listens=False) as stage:
        stage.start_nodes()
        stage.look()  # it is active
        time.sleep(_CALM)
        (node,) = stage.nodes

        def share() -> float:
            used, started = node.processor_seconds, time.monotonic()
            time.sleep(load.seconds)
            return 100 * (node.processor_seconds - used) / (time.monotonic() - started)

        alone = share()
        stage.camera.ask("start", rate=load.rate)
        beside = share()
        sent = len(stage.camera.ask("stop"))
        memory = node.memory
    values = {
        "% of a core without frames": alone,
        "% of a core": beside,
        "sent": sent,
        "resident": memory.resident,
    }
    title = f"{load.title()}, nobody subscribes"
    yield Row("idle", title, values, (Aim("% of a core", beside, 1.0),))
