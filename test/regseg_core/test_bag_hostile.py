"""Bags with bytes that nobody foresaw or that somebody chose: no crash, no memory run full."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard
from bags import (
    BEGIN_NS,
    FORMS,
    FRONT,
    TALK,
    bag_files,
    chunks_of,
    cut_off,
    drive,
    overwrite,
    read_bag,
    text,
    write_bag,
    write_form,
    write_mcap,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regseg_core.bag.errors import BagError
from regseg_core.bag.recording import Recording

MESSAGES = drive(12)


@pytest.fixture(params=FORMS)
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_form(tmp_path, MESSAGES, request.param)


@pytest.mark.integration
def test_nesting_deeper_than_the_stack(tmp_path: Path) -> None:
    """In metadata.yaml, and where a topic's quality of service is."""
    bag = write_bag(tmp_path / "bag", MESSAGES, "sqlite3")
    (bag / "metadata.yaml").write_text("[" * 100_000)
    database = sqlite3.connect(bag_files(bag)[0])
    database.execute("UPDATE topics SET offered_qos_profiles = ?", ("[" * 100_000,))
    database.commit()
    database.close()
    with Recording(bag) as recording:
        assert sum(1 for _ in recording.messages()) == len(MESSAGES)


def test_sqlite3_tables_that_would_compute(tmp_path: Path) -> None:
    (path,) = bag_files(write_bag(tmp_path / "bag", MESSAGES, "sqlite3"))
    database = sqlite3.connect(path)
    database.executescript(
        "ALTER TABLE messages RENAME TO old;"
        "CREATE VIEW messages AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)"
        " SELECT id, 1 AS topic_id, id AS timestamp, zeroblob(1000000000) AS data FROM n;"
    )
    database.close()
    with pytest.raises(BagError, match="no whole table messages"):
        Recording(path)


def test_a_chunk_that_claims_gigabytes(tmp_path: Path) -> None:
    """And one that holds more than it claims."""
    path = write_mcap(tmp_path / "drive.mcap", MESSAGES, 8 << 10)
    first, second, *_ = chunks_of(path)
    bomb = zstandard.ZstdCompressor().compress(bytes(64 << 20))
    assert len(bomb) < second.compressed_size
    place = second.chunk_start_offset + 9
    overwrite(path, first.chunk_start_offset + 9 + 16, (1 << 40).to_bytes(8, "little"))
    overwrite(path, place + 28 + 8, len(bomb).to_bytes(8, "little") + bomb)
    messages, flaws = read_bag(path)
    assert messages == MESSAGES[-len(messages) :] and messages
    assert f"{first.chunk_start_offset} is left out: it claims to hold {1 << 40} bytes" in flaws[0]
    assert f"{second.chunk_start_offset} is left out: it does not hold the" in flaws[1]


def test_an_index_that_lies(tmp_path: Path) -> None:
    """What is in memory at once is reckoned by it."""
    path = write_mcap(tmp_path / "drive.mcap", MESSAGES, 8 << 10)
    first, *_ = chunks_of(path)
    content = path.read_bytes()
    size = first.uncompressed_size.to_bytes(8, "little")
    overwrite(path, content.rindex(size), (1).to_bytes(8, "little"))
    messages, (flaw,) = read_bag(path)
    assert messages == MESSAGES[-len(messages) :] != MESSAGES
    assert flaw.endswith(f"it claims to hold {first.uncompressed_size} bytes, the index 1")


def test_chunks_that_claim_other_times_than_they_have(tmp_path: Path) -> None:
    """Their messages come out of order, none of them twice or never."""
    path = write_mcap(tmp_path / "drive.mcap", MESSAGES, 8 << 10)
    _, second, third, *_ = chunks_of(path)
    cut_off(path, path.stat().st_size - 1)
    late, early = second.message_end_time + 10**10, third.message_start_time - 10**9
    overwrite(path, second.chunk_start_offset + 9, late.to_bytes(8, "little"))
    overwrite(path, third.chunk_start_offset + 9 + 8, early.to_bytes(8, "little"))
    messages, _ = read_bag(path)
    assert sorted(messages, key=lambda m: (m.time_ns, m.topic)) == MESSAGES != messages


def test_chunks_that_all_claim_one_time(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / "drive.mcap", MESSAGES, 1 << 10, index=False)
    data = path.read_bytes()
    place = 0
    while (place := data.find(b"\x04\0\0\0zstd", place + 1)) > 0:
        begin = place - 28
        overwrite(path, begin, bytes(8) + b"\xff" * 7 + b"\x7f" + (500 << 20).to_bytes(8, "little"))
    with pytest.raises(BagError, match="are of the same time: order it with `mcap sort"):
        Recording(path)


def test_a_damaged_message_is_one_flaw(tmp_path: Path) -> None:
    """In a bag that is compressed by message: too much of it, or too little."""
    compressor = zstandard.ZstdCompressor().compressobj(size=1 << 40)
    bomb = compressor.compress(b"x") + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    short = zstandard.ZstdCompressor().compress(MESSAGES[0].data)[:-20]
    messages = [
        MESSAGES[0],
        text(TALK, BEGIN_NS + 1, "")._replace(data=bomb),
        MESSAGES[0]._replace(time_ns=BEGIN_NS + 2, data=short),
        MESSAGES[3],
    ]
    got, flaws = read_bag(write_bag(tmp_path / "bag", messages))
    assert got == [MESSAGES[0], MESSAGES[3]]
    assert flaws == [
        f"bag_0.mcap: {TALK} at 1700000000.000000001 s is left out: it claims to have more than"
        " 512 MiB",
        f"bag_0.mcap: {FRONT} at 1700000000.000000002 s is left out: its zstd data are cut off",
    ]


@given(data=st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_damage(whole: Path, data: st.DataObject) -> None:
    """Nothing but BagError is raised, and what is given is the same from any place on."""
    content = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        length = data.draw(st.sampled_from([0, 1, 8, 5000]))
        content[place : place + length] = data.draw(st.binary(max_size=16))
    damaged = whole.with_name(f"damaged{''.join(whole.suffixes)}")
    damaged.write_bytes(content)
    with suppress(BagError):
        read_bag(damaged)
