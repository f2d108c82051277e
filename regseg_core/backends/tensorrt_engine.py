"""A TensorRT engine on the GPU."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor

from regseg_core.backends.base import BackendError, Job
from regseg_core.backends.beside import Beside
from regseg_core.backends.onnx import OUTPUTS
from regseg_core.device import trim_memory


class Engine:
    """A serialised engine, ready to run: frames on the GPU -> planes on the GPU.

    `beside`: where kernels are kept that TensorRT for RTX compiles when an engine first runs, which
    takes seconds. Raises BackendError for an engine that is not for this GPU or not of this graph.
    """

    def __init__(self, trt: Any, payload: bytes, job: Job, beside: Beside | None = None) -> None:
        self._device, self._beside = job.device, beside
        # Kept alive as long as the engine.
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        engine = self._runtime.deserialize_cuda_engine(payload)
        if engine is None:
            trim_memory()  # which may be all that was missing
            engine = self._runtime.deserialize_cuda_engine(payload)
        self._engine = engine
        if engine is None:
            raise BackendError(
                "the engine could not be loaded on this GPU; TensorRT's log says why"
            )
        spec = job.spec
        self._input, outputs = _bindings(trt, engine, list(OUTPUTS[: 1 + spec.confidence]))
        shape, dtype = tuple(engine.get_tensor_shape(self._input)), engine.get_tensor_dtype
        if shape != spec.shape or dtype(self._input) != trt.DataType.UINT8:
            # It would read past the frame, and CUDA be lost.
            raise BackendError(
                f"the engine takes {shape} as {dtype(self._input)}, not {spec.shape} as bytes"
            )
        self._shape = (spec.batch, spec.height, spec.width)
        # Torch-TensorRT's engines give int32, and so do those of a TensorRT that cannot cast to
        # uint8.
        dtypes = {trt.DataType.UINT8: torch.uint8, trt.DataType.INT32: torch.int32}
        self._outputs = {}
        for name in outputs:
            given = engine.get_tensor_dtype(name)
            if given not in dtypes:
                raise BackendError(f"the engine gives {name} as {given}, not as whole numbers")
            self._outputs[name] = dtypes[given]
        self._config, self._kernels = self._runtime_config()
        #: One for each stream: two frames at once must not share one's memory.
        self._contexts: dict[int, Any] = {}

    def __call__(self, frames: Tensor) -> tuple[Tensor, ...]:
        stream = torch.cuda.current_stream(self._device).cuda_stream
        is_first = stream not in self._contexts
        context = self._context(stream)
        planes = [
            torch.empty(self._shape, dtype=dtype, device=self._device)
            for dtype in self._outputs.values()
        ]
        context.set_tensor_address(self._input, frames.data_ptr())
        for name, plane in zip(self._outputs, planes, strict=True):
            context.set_tensor_address(name, plane.data_ptr())
        if not context.execute_async_v3(stream):
            raise BackendError("TensorRT failed to run the engine; its log says why")
        if is_first:
            self._keep_kernels()
        return tuple(plane.to(torch.uint8) for plane in planes)

    def can_be_recorded(self) -> bool:
        """On the current stream. TensorRT for RTX knows; others can."""
        stream = torch.cuda.current_stream(self._device).cuda_stream
        context = self._context(stream)
        return not hasattr(context, "is_stream_capturable") or bool(
            context.is_stream_capturable(stream)
        )

    def _context(self, stream: int) -> Any:
        if stream not in self._contexts:
            made = (
                self._engine.create_execution_context()
                if self._config is None
                else self._engine.create_execution_context(self._config)
            )
            if made is None:
                raise BackendError("no memory for the engine on this GPU; TensorRT's log says why")
            self._contexts[stream] = made
        return self._contexts[stream]

    def _runtime_config(self) -> tuple[Any, Any]:
        """TensorRT for RTX's settings with the kernels of earlier runs; else nothing."""
        if not hasattr(self._engine, "create_runtime_config"):
            return None, None
        config = self._engine.create_runtime_config()
        if not hasattr(config, "create_runtime_cache"):
            return None, None
        kernels = config.create_runtime_cache()
        if self._beside is not None and (kept := self._beside.read()) is not None:
            kernels.deserialize(kept)
        config.set_runtime_cache(kernels)
        return config, kernels

    def _keep_kernels(self) -> None:
        if self._kernels is None or self._beside is None:
            return
        torch.cuda.current_stream(self._device).synchronize()
        data = self._kernels.serialize()
        with contextlib.suppress(OSError):  # a folder that cannot be written has been noted
            if data is not None and bytes(data) != self._beside.read():
                self._beside.write(bytes(data))


def _bindings(trt: Any, engine: Any, wanted: list[str]) -> tuple[str, list[str]]:
    """The names of the input and the outputs: ours, or by their order.

    Torch-TensorRT before 2.14 ignores the names that it is given.
    """
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    is_input = {name: engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in names}
    inputs = [name for name in names if is_input[name]]
    outputs = [name for name in names if not is_input[name]]
    if set(wanted) == set(outputs):
        outputs = wanted
    if len(inputs) != 1 or len(outputs) != len(wanted):
        raise BackendError(
            f"the engine has inputs {inputs} and outputs {outputs}; expected one input, and"
            f" {' and '.join(wanted)}"
        )
    return inputs[0], outputs
