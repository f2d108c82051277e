"""Checkpoints that are whole or not there, and what a run leaves behind."""

from __future__ import annotations

import io
from typing import Any

import torch
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
