"""TensorRTs as their documentation says they are, where none can run: versions 10.3 and later.

`engines` holds what was built. A payload is JSON: what the engine's tensors are called and how they
are given.
"""

from __future__ import annotations

import enum
import json
import sys
from types import ModuleType
from typing import Any

import pytest


class DataType(enum.Enum):
    UINT8 = "uint8"
    INT32 = "int32"
    HALF = "half"


class TensorIOMode(enum.Enum):
    INPUT = "input"
    OUTPUT = "output"


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


class ComputeCapability(enum.Enum):
    """Of TensorRT for RTX 1.6; a Python enum lists its members as pybind's do."""

    SM75 = 75
    SM80 = 80
    SM86 = 86
    SM89 = 89
    SM120 = 120
    SM121 = 121


class _Error:
    def desc(self) -> str:
        return "cast from Int32 to UInt8 is not supported"


class Config:
    def __init__(self) -> None:
        self.builder_optimization_level = 3
        self.flags: set[Any] = set()
        self.timings: bytes | None = None
        self.num_compute_capabilities = 0
        #: GPUs that were named, as in ComputeCapability.
        self.targets: list[str] = []

    def set_compute_capability(self, capability: Any, index: int) -> None:
        self.targets.append(capability.name)

    def set_flag(self, flag: Any) -> None:
        self.flags.add(flag)

    def create_timing_cache(self, kept: bytes) -> bytes:
        return kept

    def set_timing_cache(self, timings: bytes, ignore_mismatch: bool) -> bool:
        if timings not in (b"", b"timings"):
            return False
        self.timings = timings
        return True

    def get_timing_cache(self) -> Any:
        class Timings:
            def serialize(self) -> bytes:
                return b"timings"

        return None if self.timings is None else Timings()


class Context:
    """`given` are addresses by name."""

    def __init__(self, runtime_config: Any = None) -> None:
        self.given: dict[str, int] = {}
        self.config = runtime_config

    def set_tensor_address(self, name: str, address: int) -> None:
        self.given[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        if self.config is not None:
            self.config.cache.kernels = b"kernels"
        return True


class CapturableContext(Context):
    """Of TensorRT for RTX."""

    def is_stream_capturable(self, stream: int) -> bool:
        return stream == 7


class RuntimeCache:
    def __init__(self) -> None:
        self.kernels = b""

    def deserialize(self, data: bytes) -> bool:
        self.kernels = data
        return True

    def serialize(self) -> bytes:
        return self.kernels


class RuntimeConfig:
    """Of TensorRT for RTX."""

    cache: RuntimeCache

    def create_runtime_cache(self) -> RuntimeCache:
        return RuntimeCache()

    def set_runtime_cache(self, cache: RuntimeCache) -> None:
        self.cache = cache


class Engine:
    def __init__(self, about: dict[str, Any]) -> None:
        self.tensors: list[list[Any]] = about["tensors"]
        self.num_io_tensors = len(self.tensors)
        self.contexts: list[Context] = []

    def get_tensor_name(self, index: int) -> str:
        return str(self.tensors[index][0])

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode(next(t[1] for t in self.tensors if t[0] == name))

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return next(tuple(t[3]) for t in self.tensors if t[0] == name)

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType(next(t[2] for t in self.tensors if t[0] == name))

    def create_execution_context(self, config: Any = None) -> Context:
        self.contexts.append(Context(config))
        return self.contexts[-1]


class RtxEngine(Engine):
    def create_runtime_config(self) -> RuntimeConfig:
        return RuntimeConfig()

    def create_execution_context(self, config: Any = None) -> Context:
        self.contexts.append(CapturableContext(config))
        return self.contexts[-1]


class FakeTensorRt(ModuleType):
    """A TensorRT of that name and version.

    `casts`: whether whole numbers may leave as uint8. `loads`: whether engines load.
    """

    DataType, TensorIOMode = DataType, TensorIOMode
    NetworkDefinitionCreationFlag = NetworkDefinitionCreationFlag

    class Logger:
        ERROR = 0

        def __init__(self, level: int) -> None: ...

    def __init__(self, name: str, version: str, casts: bool = True, loads: bool = True) -> None:
        super().__init__(name)
        self.__version__, self.casts, self.loads = version, casts, loads
        #: The settings of what was built, and the engines that were loaded.
        self.configs: list[Config] = []
        self.engines: list[Engine] = []
        library = self

        class BuilderFlag:
            if name == "tensorrt_rtx":
                REQUIRE_USER_ALLOCATION = "user allocation"

        class Parser:
            num_errors = 1

            def __init__(self, network: list[bytes], logger: Any) -> None:
                self._network = network

            def parse(self, onnx: bytes) -> bool:
                self._network.append(onnx)
                return library.casts or b"wide" in onnx

            def get_error(self, index: int) -> _Error:
                return _Error()

        class Builder:
            def __init__(self, logger: Any) -> None: ...

            def create_network(self, flags: int) -> list[bytes]:
                return []

            def create_builder_config(self) -> Config:
                library.configs.append(Config())
                return library.configs[-1]

            def build_serialized_network(self, network: list[bytes], config: Config) -> bytes:
                given = "int32" if b"wide" in network[0] else "uint8"
                return payload(FRAMES, ["labels", "output", given])

        class Runtime:
            def __init__(self, logger: Any) -> None: ...

            def deserialize_cuda_engine(self, data: bytes) -> Engine | None:
                if not library.loads:
                    return None
                kind = RtxEngine if name == "tensorrt_rtx" else Engine
                library.engines.append(kind(json.loads(data)))
                return library.engines[-1]

        self.BuilderFlag, self.OnnxParser = BuilderFlag, Parser
        self.Builder, self.Runtime = Builder, Runtime
        if name == "tensorrt_rtx":
            self.ComputeCapability = ComputeCapability


#: Of engines that are built here: name, mode, type and shape.
FRAMES: list[Any] = ["frames", "input", "uint8", [1, 4, 6, 3]]


def payload(*tensors: list[Any]) -> bytes:
    """Of an engine with tensors of a name, a mode, a type and, for the input, a shape."""
    return json.dumps({"tensors": tensors}).encode()


def install(monkeypatch: pytest.MonkeyPatch, name: str, version: str, **how: bool) -> FakeTensorRt:
    """Has `import name` give that TensorRT, and no other one be there."""
    for other in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, other, None)
    made = FakeTensorRt(name, version, **how)
    monkeypatch.setitem(sys.modules, name, made)
    return made
