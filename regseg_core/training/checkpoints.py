"""Checkpoints that are whole or not there, and what a run leaves behind."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from regseg_core.files import write_bytes


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place, makes sure it is on the disk, and renames it.

    Lightning's own goes through a temporary file that may lie on another disk, from where it is
    copied, and half a copy is what a killed process would leave.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Raises OSError with the path; the checkpoint that was there stays whole."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_bytes(path, buffer.getvalue())


class BestCheckpoint(ModelCheckpoint):
    """Keeps the epoch that scores best, as `best.ckpt`, also where a run's folder has been moved.

    Lightning's own then forgets the best score, and the next one, however poor, takes its place.
    """

    def __init__(self, folder: Path, monitor: str) -> None:
        super().__init__(folder, "best", monitor, mode="max", enable_version_counter=False)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads a run's state; its files may have moved to this folder."""
        assert self.dirpath is not None

        def here(path: str) -> str:
            return str(Path(self.dirpath, Path(path).name)) if path else path  # type: ignore[arg-type]

        paths = {
            name: here(state_dict[name])
            for name in ("best_model_path", "kth_best_model_path", "last_model_path")
        }
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        moved = {**state_dict, **paths, "best_k_models": best, "dirpath": self.dirpath}
        super().load_state_dict(moved)
