"""What a camera's figures mean: its status on /diagnostics, and a line when the node ends."""

from __future__ import annotations

from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from regseg_core.backends.health import Health
from regseg_ros.settings import Thresholds
from regseg_ros.statistics import (
    COMPILING,
    COUNTS,
    DROPS,
    LOST,
    WINDOW,
    Report,
    percentiles,
)


def judge(
    report: Report, limits: Thresholds, topic: str, wanted_for: float | None, health: Health
) -> tuple[bytes, str]:
    """Level and message of a camera's status.

    `wanted_for`: seconds since somebody subscribes to one of its outputs; None: nobody does.
    """
    if wanted_for is None:
        return DiagnosticStatus.OK, "idle: nobody subscribes to an output"
    silence = min(report.silence, wanted_for)
    if silence > limits.stale_after:
        return DiagnosticStatus.STALE, f"no frames on {topic} for {silence:.0f} s"
    if min(report.unanswered, wanted_for) > limits.no_mask_after:
        if health.building and report.lately(COMPILING):
            return DiagnosticStatus.WARN, f"no masks while {health.building} is made ready"
        return DiagnosticStatus.ERROR, f"frames arrive, none is segmented{_because(report, health)}"
    if warnings := _warnings(report, limits, wanted_for, health):
        return DiagnosticStatus.WARN, "; ".join(warnings)
    if not report.recent["segmented"]:
        return DiagnosticStatus.OK, "waiting for frames"
    return DiagnosticStatus.OK, "segmenting"


def _because(report: Report, health: Health) -> str:
    if report.since_mask["refused"]:
        return f": {report.last_refusal}"
    if report.since_mask["failed"]:
        return f": {report.last_failure}"
    return f": {health.failures[-1]}" if health.failures else ""


def _warnings(report: Report, limits: Thresholds, wanted_for: float, health: Health) -> list[str]:
    found = []
    for what, why in (("refused", report.last_refusal), ("failed", report.last_failure)):
        if report.recent[what]:
            found.append(f"{report.recent[what]} frames {what} of late: {why}")
    rate = report.rate("segmented")
    if wanted_for >= WINDOW and rate < limits.warn_rate:
        found.append(f"{rate:.1f} masks a second, under warn_rate {limits.warn_rate:g}")
    p95 = percentiles(report.latencies).get(95, 0.0)
    if 0 < limits.warn_latency_ms < p95:
        found.append(f"latency p95 {p95:.0f} ms, over warn_latency_ms {limits.warn_latency_ms:g}")
    for share, what in ((report.drop_share, "dropped"), (report.lost_share, LOST)):
        if share > limits.warn_dropped:
            found.append(
                f"{share:.0%} of the frames {what}, over warn_dropped {limits.warn_dropped:g}"
            )
    if health.failures:
        found.append(f"backend failed: {health.failures[-1]}")
    return found


def status_message(
    report: Report,
    limits: Thresholds,
    status_name: str,
    topic: str,
    wanted_for: float | None,
    description: str,
    health: Health,
) -> DiagnosticStatus:
    """A camera's status. `description`: what runs where. `wanted_for`: as for `judge`."""
    level, message = judge(report, limits, topic, wanted_for, health)
    values: dict[str, float | int | str] = {
        "input rate (Hz)": report.rate("received"),
        "output rate (Hz)": report.rate("segmented"),
        "unwanted rate (Hz)": report.rate("unwanted"),
    }
    for percent, latency in percentiles(report.latencies).items():
        values[f"latency p{percent} (ms)"] = latency
    values |= {**{name: report.totals[name] for name in COUNTS}, "in work": report.in_work}
    values |= {
        "dropped because": _listed({d: report.totals[d] for d in DROPS if report.totals[d]}, "-"),
        "lost by the transport": report.totals[LOST],
        "last refusal": report.last_refusal or "none",
        "last failure": report.last_failure or "none",
        "runs": description,
        "frames": _listed(dict(health.running), "none yet"),
        "compiling": health.building or "nothing",
        "backends refused": _listed(dict(health.refused), "none"),
        "backend failures": "; ".join(health.failures[-3:]) or "none",
    }
    status = DiagnosticStatus(level=level, name=status_name, message=message, hardware_id=topic)
    status.values = [
        KeyValue(key=key, value=f"{value:.1f}" if isinstance(value, float) else str(value))
        for key, value in values.items()
    ]
    return status


def status_name(node: str, camera: str) -> str:
    """What a camera's status is called; `camera` is empty for one without a name."""
    return f"{node}: segmentation of {camera}" if camera else f"{node}: segmentation"


def summary(topic: str, report: Report, backend: str) -> str:
    """What became of a camera's frames since the start, in a line."""
    totals = report.totals
    ends = ", ".join(f"{totals[name]} {name}" for name in COUNTS[1:])
    text = f"{totals['received']} frames of {topic} received: {ends}"
    if latency := percentiles(report.last_latencies):
        text += f"; latency p50 {latency[50]:.0f} ms, p95 {latency[95]:.0f} ms, by {backend}"
    return text


def _listed(values: Mapping[str, object], empty: str) -> str:
    return "; ".join(f"{key}: {value}" for key, value in values.items()) or empty
