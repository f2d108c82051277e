"""Answers the questions about a GPU that Torch-TensorRT asks when it is imported.

Only here: the product asks a real one. Ampere's answers, as TensorRT for RTX builds for it.
"""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import torch

if importlib.util.find_spec("torch_tensorrt") and not torch.cuda.is_available():
    gigabytes = 16 << 30
    answers = {
        "current_device": 0,
        "get_device_capability": (8, 0),
        "get_device_name": "no GPU",
        "get_device_properties": SimpleNamespace(
            major=8, minor=0, name="no GPU", total_memory=gigabytes, multi_processor_count=108
        ),
        "mem_get_info": (gigabytes, gigabytes),
        "synchronize": None,
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, lambda *_, answer=answer, **__: answer)
