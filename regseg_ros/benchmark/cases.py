"""What can be measured, a row each."""

from __future__ import annotations

from collections.abc import Iterator

from regseg_ros.benchmark import loads, starting
from regseg_ros.benchmark.bench import Bench, Case
from regseg_ros.benchmark.company import company
from regseg_ros.benchmark.idle import idle
from regseg_ros.benchmark.profile import profile
from regseg_ros.benchmark.rows import Row

#: What is measured where no case is named.
DEFAULT = "given"


def _profile(bench: Bench) -> Iterator[Row]:
    load = bench.load(height=720, width=1280, rate=5.0)
    pieces, whole = profile(load, bench.cache)
    yield Row.of("profile", f"{load.title()}, the whole node", whole)
    yield Row("profile", f"{load.title()}, ms of each piece", pieces)
    if bench.folder is not None:
        from regseg_ros.benchmark.drawing import draw_profile

        title = f"{load.width} x {load.height} {load.encoding}, {whole.backend}, {bench.machine}"
        draw_profile(pieces, whole, title, bench.folder / "node-profile.png")


CASES = {
    DEFAULT: Case("the load that the options give", loads.given),
    "latency": Case("how much later than the call alone masks come", loads.latency),
    "overload": Case("what is left at twice the rate that can be sustained", loads.overload),
    "idle": Case("what it costs while nobody subscribes", idle),
    "first": Case("when the first mask comes, and a better backend", starting.first),
    "gap": Case("how long masks stay away when a backend or a size changes", starting.gap),
    "memory": Case("how much memory it takes", loads.memory),
    "company": Case("how late masks come beside a busy program", company),
    "sweep": Case("latency and loss by rate, up to the breaking point; drawn", loads.sweep),
    "transport": Case("raw with and without the profiles, and compressed", loads.transport),
    "cameras": Case("one node for four cameras against four nodes", loads.cameras),
    "profile": Case("where the time of a frame goes; drawn", _profile),
}
