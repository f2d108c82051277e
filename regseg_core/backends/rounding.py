"""int8 in OpenVINO's form of the graph: FakeQuantize where activations and weights are rounded.

OpenVINO then computes in int8 between them. An activation is called by the layer that it comes from
and what was done since, such as `body.stage4.conv1 Add Relu`, so that its range fits the graph for
any frames, and NNCF's nodes and ours are found by one rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import nn

from regseg_core.backends.base import BackendError
from regseg_core.calibration import Calibration

_CONVOLUTIONS = frozenset({"Convolution", "GroupConvolution"})

#: What moves values and computes none: its output is called what its input is.
_MOVES = frozenset({"Split", "VariadicSplit", "Slice", "StridedSlice", "FakeQuantize"})

#: Of the first layer's input.
IMAGES = "images"

#: Of a byte with and without a sign that has as many values on both sides of zero.
_LEVELS, _LEVELS_OF_WEIGHTS = 256, 255


class Activations:
    """Of OpenVINO's form of a graph: what its network's activations are called.

    Those that would be called the same, such as what several pools make of one map, are numbered
    from the second on, in the graph's order: `x AvgPool`, `x AvgPool#2`.

    `layers`: each convolution's node by its name in PyTorch, in order. `names`: of what nodes give,
    by the nodes' own. `outputs`: where each activation comes to be, by its name.
    """

    def __init__(self, model: Any, network: nn.Module) -> None:
        by_weights = {
            module.weight.detach().numpy().tobytes(): name
            for name, module in network.named_modules()
            if isinstance(module, nn.Conv2d)
        }
        self.layers: dict[str, Any] = {}
        self.names: dict[str, str] = {}
        self.outputs: dict[str, Any] = {}
        for node in model.get_ordered_ops():
            if node.get_type_name() in _CONVOLUTIONS:
                weights = node.input_value(1).get_node()
                layer = by_weights.get(weights.data.tobytes())
                if layer is not None:
                    self.layers[layer] = node
                    given = node.input_value(0)
                    if given.get_node().get_friendly_name() not in self.names:
                        self._call(given, IMAGES)
                    self._call(node.output(0), layer)
                    continue
            sources = [
                self.names.get(_source(node, place)) for place in range(node.get_input_size())
            ]
            known = [source for source in sources if source is not None]
            if not known or node.get_output_size() == 0:
                continue
            kind = node.get_type_name()
            if kind in _MOVES or (kind == "Concat" and len(set(sources)) == 1):
                self.names[node.get_friendly_name()] = known[0]
            else:
                self._call(node.output(0), f"{known[0]} {kind}")

    def _call(self, output: Any, name: str) -> None:
        same = 1
        while (numbered := f"{name}#{same}" if same > 1 else name) in self.outputs:
            same += 1
        self.names[output.get_node().get_friendly_name()] = numbered
        self.outputs[numbered] = output


def _source(node: Any, place: int) -> str:
    name: str = node.input_value(place).get_node().get_friendly_name()
    return name


def layer_of(activation: str) -> str:
    """The layer that an activation comes from."""
    return activation.partition(" ")[0]


def round_to_bytes(model: Any, network: nn.Module, calibration: Calibration) -> None:
    """Puts the roundings into OpenVINO's form of the graph, in place.

    Weights are rounded by their own greatest values. Raises BackendError where the calibration
    names what the graph has not.
    """
    from openvino import opset13

    found = Activations(model, network)

    def reads_bytes(node: Any) -> bool:
        """Whether what a node gives is rounded, or would be if its layer were not spared."""
        if found.names.get(node.get_friendly_name()) in calibration.ranges:
            return True
        if node.get_type_name() not in _MOVES | {"Concat", "MaxPool"}:
            return False
        places = range(node.get_input_size()) if node.get_type_name() == "Concat" else (0,)
        return all(reads_bytes(node.input_value(place).get_node()) for place in places)

    for name, (low, high) in calibration.ranges.items():
        if name not in found.outputs:
            raise BackendError(
                f"the calibration is of another network: {name!r} is not in this one"
            )
        if layer_of(name) not in calibration.floats:
            output = found.outputs[name]
            readers = list(output.get_target_inputs())
            ends = (np.float32(low), np.float32(high))
            rounded = opset13.fake_quantize(output, *ends, *ends, _LEVELS)
            for reader in readers:
                reader.replace_source_output(rounded.output(0))
    for name, node in found.layers.items():
        if name not in calibration.floats and reads_bytes(node.input_value(0).get_node()):
            weights = node.input_value(1)
            values = weights.get_node().data
            # Of each output channel: a grouped convolution's have two dimensions.
            inner = tuple(range(1 if node.get_type_name() == "Convolution" else 2, values.ndim))
            most = np.maximum(np.abs(values).max(axis=inner, keepdims=True), np.float32(1e-12))
            rounded = opset13.fake_quantize(weights, -most, most, -most, most, _LEVELS_OF_WEIGHTS)
            node.input(1).replace_source_output(rounded.output(0))
    model.validate_nodes_and_infer_types()


def roundings(model: Any) -> Iterator[tuple[str, float, float]]:
    """Of all activations that a graph rounds: the node that gives it, its least and greatest."""
    for node in model.get_ops():
        if node.get_type_name() == "FakeQuantize":
            low, high = (node.input_value(place).get_node().data for place in (1, 2))
            if low.size == 1:  # those of weights have one a channel
                yield _source(node, 0), low.item(), high.item()
