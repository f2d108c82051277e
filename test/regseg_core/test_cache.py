"""Compiled graphs are kept, and used again only where everything is as it was."""

from __future__ import annotations

import fcntl
import logging
import multiprocessing
import time
from dataclasses import replace
from pathlib import Path

import pytest

from regseg_core.backends.cache import EngineCache
from regseg_core.backends.engine_file import EngineError, pack, read_identity, read_payload
from regseg_core.backends.spec import GraphSpec, key_of

SPEC = GraphSpec("bgr8", 512, 1024, precision="float16")
MADE_BY = {"backend": "tensorrt", "library": "tensorrt_rtx 1.6", "torch": "2.13.0", "device": "any"}
NETWORK = {"weights": "abc", "architecture": "regseg48", "ids": [0, 1, 2]}
IDENTITY = SPEC.identity(NETWORK, MADE_BY)


def never() -> bytes:
    raise AssertionError("built again")


def test_a_graph_is_built_once_and_kept(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "deep" / "cache")
    assert cache.open(IDENTITY, lambda: b"\x00engine\n\xff", bytes) == b"\x00engine\n\xff"
    assert cache.open(IDENTITY, never, bytes) == b"\x00engine\n\xff"
    [entry] = cache.entries()
    assert read_identity(entry) == IDENTITY and entry.stem == key_of(IDENTITY)
    assert cache.clear() == 1 and cache.entries() == []
    assert cache.open(IDENTITY, lambda: b"new", bytes) == b"new"


@pytest.mark.parametrize(
    "other",
    [
        SPEC.identity(NETWORK | {"weights": "abd"}, MADE_BY),
        SPEC.identity(NETWORK | {"ids": [2, 1, 0]}, MADE_BY),
        SPEC.identity(NETWORK | {"architecture": "exp43_decoder26"}, MADE_BY),
        replace(SPEC, encoding="rgb8").identity(NETWORK, MADE_BY),
        replace(SPEC, precision="float32").identity(NETWORK, MADE_BY),
        replace(SPEC, batch=4).identity(NETWORK, MADE_BY),
        replace(SPEC, size=(256, 512)).identity(NETWORK, MADE_BY),
        replace(SPEC, confidence=True).identity(NETWORK, MADE_BY),
        SPEC.identity(NETWORK, MADE_BY | {"library": "tensorrt_rtx 1.7"}),
        SPEC.identity(NETWORK, MADE_BY | {"torch": "2.14.0"}),
        SPEC.identity(NETWORK, MADE_BY | {"device": "NVIDIA L4"}),
        IDENTITY | {"graph_version": 0},
    ],
)
def test_anything_else_has_another_key(other: dict[str, object], tmp_path: Path) -> None:
    assert key_of(other) != key_of(IDENTITY)
    cache = EngineCache(tmp_path)
    cache.open(IDENTITY, lambda: b"one", bytes)
    assert cache.open(other, lambda: b"two", bytes) == b"two"
    with pytest.raises(EngineError, match=r"was compiled for something else: .*, here "):
        read_payload(tmp_path / f"{key_of(IDENTITY)}.engine", other)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data[:-3] + b"\x00" + data[-2:],
        lambda data: b"\x80\x04\x95pickled",
        lambda data: data.replace(b"abc", b"xyz"),
        lambda data: pack(SPEC.identity(NETWORK | {"weights": "foreign"}, MADE_BY), b"foreign"),
    ],
)
def test_what_is_damaged_or_foreign_is_built_anew(
    damage: object, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = EngineCache(tmp_path)
    cache.open(IDENTITY, lambda: b"an engine of some bytes", bytes)
    [entry] = cache.entries()
    entry.write_bytes(damage(entry.read_bytes()))  # type: ignore[operator]
    assert cache.open(IDENTITY, lambda: b"another", bytes) == b"another"
    assert "compiling again" in caplog.text
    assert cache.open(IDENTITY, never, bytes) == b"another"


def by_library(payload: bytes) -> str:
    if payload.startswith(b"broken"):
        raise RuntimeError("unsupported opset")
    return payload.decode()


def test_what_the_library_cannot_load_is_built_anew_and_kept_once_it_loads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = EngineCache(tmp_path)
    with pytest.raises(RuntimeError, match="unsupported opset"):
        cache.open(IDENTITY, lambda: b"broken", by_library)
    assert not cache.entries() and not caplog.text
    cache.open(IDENTITY, lambda: b"broken by another version", bytes)
    assert cache.open(IDENTITY, lambda: b"good", by_library) == "good"
    assert "compiling again: " in caplog.text
    assert "cannot be loaded: unsupported opset" in caplog.text
    assert cache.open(IDENTITY, never, by_library) == "good"


def test_what_is_new_and_cannot_be_loaded_either_is_built_once(tmp_path: Path) -> None:
    cache, built = EngineCache(tmp_path), []

    def build() -> bytes:
        built.append(1)
        return b"broken again"

    cache.open(IDENTITY, lambda: b"broken", bytes)
    with pytest.raises(RuntimeError, match="unsupported opset"):
        cache.open(IDENTITY, build, by_library)
    assert len(built) == 1


def test_waiting_for_another_process_can_be_given_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class GivenUpError(Exception): ...

    def look() -> None:
        raise GivenUpError

    lock = (tmp_path / f"{key_of(IDENTITY)}.lock").open("w")
    with lock, caplog.at_level(logging.INFO):
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(GivenUpError):
            EngineCache(tmp_path).open(IDENTITY, never, bytes, look)
    assert "waiting for another process that compiles" in caplog.text
    assert EngineCache(tmp_path).open(IDENTITY, lambda: b"engine", bytes) == b"engine"


def test_an_engine_carried_from_a_machine_with_another_pytorch_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "carried.engine"
    path.write_bytes(pack(SPEC.identity(NETWORK, MADE_BY | {"torch": "2.9.0"}), b"engine"))
    with pytest.raises(EngineError, match=r"torch '2\.9\.0', here '2\.13\.0'"):
        read_payload(path, IDENTITY)
    assert read_payload(path, IDENTITY, carried=True) == b"engine"
    newer = SPEC.identity(NETWORK, MADE_BY | {"library": "tensorrt_rtx 1.7"})
    with pytest.raises(EngineError, match=r"library 'tensorrt_rtx 1\.6', here 'tensorrt_rtx 1\.7'"):
        read_payload(path, newer, carried=True)


def _ask(folder: Path, builds: multiprocessing.Queue[str]) -> None:
    def build() -> bytes:
        builds.put("built")
        time.sleep(0.5)
        return b"engine"

    builds.put(EngineCache(folder).open(IDENTITY, build, bytes).decode())


def test_of_two_processes_that_start_together_one_builds(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    said: multiprocessing.Queue[str] = context.Queue()
    processes = [context.Process(target=_ask, args=(tmp_path, said)) for _ in range(2)]
    for process in processes:
        process.start()
    answers = sorted(said.get(timeout=20) for _ in range(3))
    for process in processes:
        process.join(timeout=20)
    assert answers == ["built", "engine", "engine"]


def test_an_unwritable_folder_means_a_warning_and_no_cache(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = EngineCache(tmp_path / "file" / "cache")
    assert cache.open(IDENTITY, lambda: b"engine", bytes) == b"engine"
    assert "compiled graphs are not kept: cannot write" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert EngineCache(None).open(IDENTITY, lambda: b"engine", bytes) == b"engine"
    assert not caplog.text, "none was asked for"
