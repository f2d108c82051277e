"""The graph from camera bytes to labels: what each output is, and that it can be exported."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from regseg_core.encodings import ENCODINGS
from regseg_core.graph import Normalize, SegmentationGraph
from regseg_core.model import SegmentationNetwork, create_model
from regseg_core.upsampling import upsampled_bands

IDS = tuple(range(5))


@pytest.fixture(scope="module")
def network() -> SegmentationNetwork:
    torch.manual_seed(0)
    return create_model("regseg48", 5).eval()


def frames(height: int, width: int, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(height * width)
    shape = (2, height, width, channels)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def test_equals_the_network_step_by_step(network: SegmentationNetwork) -> None:
    rgb = frames(64, 96)
    labels, confidence = SegmentationGraph(network, IDS, "rgb8", confidence=True)(rgb)
    scaled = rgb.permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    logits = network((scaled - mean[:, None, None]) / std[:, None, None])
    best, classes = logits.softmax(1).max(1)

    assert labels.dtype == confidence.dtype == torch.uint8
    assert (labels == classes).float().mean() > 0.9999
    assert (confidence.int() - (255 * best).round().int()).abs().max() <= 1


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_shows_the_same_picture(encoding: str, network: SegmentationNetwork) -> None:
    given = [ENCODINGS[encoding].from_rgb(frame) for frame in frames(40, 56).numpy()]
    rgb = torch.from_numpy(np.stack([ENCODINGS[encoding].to_rgb(pixels) for pixels in given]))
    assert rgb.shape == (2, 40, 56, 3)
    (expected,) = SegmentationGraph(network, IDS, "rgb8")(rgb)
    (labels,) = SegmentationGraph(network, IDS, encoding)(torch.from_numpy(np.stack(given)))
    # Whether halves are rounded up or to even is the only difference, and only in YUV.
    assert (labels == expected).float().mean() >= (0.999 if "v" in encoding else 1)


def test_ids_are_those_of_the_label_set(network: SegmentationNetwork) -> None:
    rgb = frames(32, 32)
    ids = (7, 200, 3, 11, 0)
    (indices,) = SegmentationGraph(network, IDS, "rgb8")(rgb)
    (labels,) = SegmentationGraph(network, ids, "rgb8")(rgb)
    assert torch.equal(labels, torch.tensor(ids, dtype=torch.uint8)[indices.long()])


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (31, 33)])
def test_small_frames_are_enlarged_for_the_network(
    shape: tuple[int, int], network: SegmentationNetwork
) -> None:
    (labels,) = SegmentationGraph(network, IDS, "rgb8")(frames(*shape))
    assert labels.shape == (2, *shape)


def test_a_given_size_is_what_the_network_sees(network: SegmentationNetwork) -> None:
    rgb = frames(90, 120)
    (labels,) = SegmentationGraph(network, IDS, "rgb8", size=(48, 64))(rgb)
    small = F.interpolate(
        Normalize(network.normalization)(rgb.permute(0, 3, 1, 2)), size=(48, 64), mode="bilinear"
    )
    low = network.forward_low(small)
    logits = F.interpolate(low, size=(90, 120), mode="bilinear")
    assert (labels == logits.argmax(1)).float().mean() > 0.999


@pytest.mark.parametrize("size", [(64, 96), (61, 97)])
def test_exports_without_operators_that_tensorrt_lacks(
    size: tuple[int, int], network: SegmentationNetwork
) -> None:
    graph = SegmentationGraph(network, (7, 200, 3, 11, 0), "bgra8", confidence=True).eval()
    example = frames(*size, channels=4)
    exported = torch.export.export(graph, (example,))
    nodes = [node for node in exported.graph.nodes if node.op == "call_function"]
    pools = [node for node in nodes if "avg_pool2d" in str(node.target)]

    assert pools and not any(True in node.args[3:] for node in pools), "ceil mode"
    with torch.inference_mode():
        for ours, theirs in zip(exported.module()(example), graph(example), strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("low", "full"),
    [((9, 13), (33, 50)), ((12, 16), (48, 64)), ((30, 40), (119, 161)), ((7, 7), (5, 9))],
)
def test_upsampling_in_bands_of_rows_equals_that_of_the_whole(
    low: tuple[int, int], full: tuple[int, int]
) -> None:
    logits = torch.randn(2, 5, *low, dtype=torch.float64)
    bands = list(upsampled_bands(logits, *full))
    whole = F.interpolate(logits, size=full, mode="bilinear", align_corners=False)
    torch.testing.assert_close(torch.cat(bands, dim=2), whole)
    assert len(bands) == 1 + (full[0] - 1) // 36


@pytest.mark.parametrize("rotation", [0, 90])
def test_a_graph_in_bands_gives_the_same_planes(
    network: SegmentationNetwork, rotation: int
) -> None:
    graph = partial(SegmentationGraph, network, IDS, "rgb8", confidence=True, rotation=rotation)
    shown = frames(97, 131)
    with torch.inference_mode():
        for expected, found in zip(graph()(shown), graph(banded=True)(shown), strict=True):
            assert found.shape == expected.shape
            assert (found == expected).float().mean() > 0.999
