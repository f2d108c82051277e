"""The weights that come with the package, each with its model card beside it."""

from __future__ import annotations

from pathlib import Path

#: What is used where nothing is said.
DEFAULT = "regseg48-camvid"

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The names that `find` takes beside paths."""
    return sorted(path.stem for path in _FOLDER.glob("*.safetensors"))


def find(name_or_path: str | Path) -> Path:
    """The file of shipped weights of that name, or the path itself where it is a file.

    Raises FileNotFoundError that lists what there is.
    """
    if str(name_or_path) in names():
        return _FOLDER / f"{name_or_path}.safetensors"
    path = Path(name_or_path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"no weights {str(name_or_path)!r}: give a file, or one of {', '.join(names())}"
        )
    return path
