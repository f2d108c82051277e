"""A program that keeps one core busy, until its stdin ends."""

from __future__ import annotations

from regseg_ros.benchmark.talking import serve_beside


def main() -> None:
    ended = serve_beside({})
    while not ended.is_set():
        pass


if __name__ == "__main__":
    main()
