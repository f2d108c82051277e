"""What training begins with: whole checkpoints, and files of classification backbones."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from regseg_core.errors import WeightsError
from regseg_core.labels import CAMVID
from regseg_core.model import SegmentationNetwork, create_model
from regseg_core.training.start import in_modules, licence_of, start_from
from regseg_core.weights import ModelCard, save_weights

Tensors = dict[str, Tensor]


def norm(name: str, channels: int) -> Tensors:
    values = {kind: torch.rand(channels) for kind in ("weight", "bias")}
    statistics = {f"running_{kind}": torch.rand(channels) for kind in ("mean", "var")}
    counter = {"num_batches_tracked": torch.tensor(7)}
    return {f"{name}.{kind}": value for kind, value in (values | statistics | counter).items()}


def conv(name: str, out_channels: int, in_channels: int, size: int) -> Tensors:
    return {f"{name}.weight": torch.rand(out_channels, in_channels, size, size)}


def resnet(stem: Tensors, stem_channels: int, depths: tuple[int, ...] = (2, 2, 2, 2)) -> Tensors:
    """A ResNet of basic blocks under torchvision's names, with random values."""
    tensors, channels = dict(stem), stem_channels
    for stage, depth in enumerate(depths):
        width = 64 << stage
        for index in range(depth):
            block = f"layer{stage + 1}.{index}"
            tensors |= conv(f"{block}.conv1", width, channels, 3) | norm(f"{block}.bn1", width)
            tensors |= conv(f"{block}.conv2", width, width, 3) | norm(f"{block}.bn2", width)
            if channels != width:
                tensors |= conv(f"{block}.downsample.0", width, channels, 1)
                tensors |= norm(f"{block}.downsample.1", width)
            channels = width
    return tensors | {"fc.weight": torch.rand(1000, channels), "fc.bias": torch.rand(1000)}


def torchvision_resnet18() -> Tensors:
    return resnet(conv("conv1", 64, 3, 7) | norm("bn1", 64), 64)


def deep_resnet18() -> Tensors:
    stem = conv("conv1.0", 64, 3, 3) | norm("conv1.1", 64)
    stem |= conv("conv1.3", 64, 64, 3) | norm("conv1.4", 64) | conv("conv1.6", 128, 64, 3)
    return resnet(stem | norm("bn1", 128), 128)


def hardnet_petite() -> Tensors:
    """As the file is published: the encoder alone, under its own names."""
    state = fresh("fc_hardnet70").state_dict()
    base = {n.removeprefix("base."): t for n, t in state.items() if n.startswith("base.")}
    return {n: torch.rand(t.shape) for n, t in base.items() if not n.endswith("tracked")}


def bisenetv2_backbone() -> dict[str, Tensors]:
    """As the file is published: the tensors of each module in a mapping of their own."""
    network = fresh("bisenetv2")
    parts = ((name, network.get_submodule(name)) for name in ("detail", "segment"))
    return {name: {n: torch.rand(t.shape) for n, t in m.state_dict().items()} for name, m in parts}


class Attack:
    """Makes a folder when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.victim),)


def fresh(name: str, classes: int = 5) -> SegmentationNetwork:
    torch.manual_seed(1)
    return create_model(name, classes)


def unchanged(network: SegmentationNetwork, name: str) -> bool:
    pairs = zip(network.state_dict().values(), fresh(name).state_dict().values(), strict=True)
    return all(torch.equal(left, right) for left, right in pairs)


def saved(tensors: object, folder: Path) -> Path:
    torch.save(tensors, folder / "weights.pth")
    return folder / "weights.pth"


@pytest.mark.parametrize("wrapped", [False, True])
def test_what_fits_of_torchvisions_resnet_is_copied(wrapped: bool, tmp_path: Path) -> None:
    backbone = {n: t.half() for n, t in torchvision_resnet18().items()}
    whole = {f"module.{n}": t for n, t in backbone.items()}
    path = saved({"state_dict": whole, "epoch": 90} if wrapped else backbone, tmp_path)
    network = fresh("sfnet_resnet18")

    left = start_from(network, path)

    modules = ["layer0", "layer1.0.conv1", "layer1.0.downsample", "head"]
    assert in_modules(network, left) == modules
    before, state = fresh("sfnet_resnet18").state_dict(), network.state_dict()
    assert state["layer3.1.conv2.weight"].dtype == torch.float32
    for name, value in state.items():
        taken = value if name.endswith("tracked") else backbone.get(name)
        expected = before[name] if name in left or taken is None else taken.to(value.dtype)
        assert torch.equal(value, expected), name


@pytest.mark.parametrize(
    ("name", "backbone", "left"),
    [
        ("sfnet_resnet18", deep_resnet18, ["head"]),
        ("fc_hardnet70", hardnet_petite, ["conv1x1_up", "denseBlocksUp", "finalConv"]),
        ("bisenetv2", bisenetv2_backbone, ["bga", "head", "aux2", "aux3", "aux4", "aux5_4"]),
    ],
)
def test_the_networks_own_backbone_leaves_its_heads_fresh(
    name: str, backbone: Callable[[], object], left: list[str], tmp_path: Path
) -> None:
    network = fresh(name)
    assert in_modules(network, start_from(network, saved(backbone(), tmp_path))) == left


@pytest.mark.parametrize("name", ["sfnet_resnet18", "fc_hardnet70", "regseg48"])
def test_a_whole_checkpoint_of_other_classes_leaves_the_classifier_fresh(
    name: str, tmp_path: Path
) -> None:
    other = create_model(name, 7)
    network = fresh(name)
    assert start_from(network, saved(other.state_dict(), tmp_path)) == list(
        network.classifier_names
    )
    assert start_from(network, saved(fresh(name).state_dict(), tmp_path)) == []


def test_weights_of_ours_leave_the_training_heads_fresh(tmp_path: Path) -> None:
    trained, network = fresh("sfnet_resnet18"), fresh("sfnet_resnet18")
    trained.drop_training_heads()
    left = start_from(network, saved(trained.state_dict(), tmp_path))
    assert in_modules(network, left) == ["head.dsn"]


def test_another_backbone_is_refused(tmp_path: Path) -> None:
    network = fresh("sfnet_resnet18")
    wide = {n: torch.cat((t, t)) if t.ndim else t for n, t in torchvision_resnet18().items()}
    with pytest.raises(WeightsError, match="backbone, of which 4 of 100 tensors fit") as caught:
        start_from(network, saved(wide, tmp_path))
    assert "layer0.0.weight" in str(caught.value) and "give the file of the" in str(caught.value)
    assert unchanged(network, "sfnet_resnet18")


def test_a_backbone_with_values_that_are_not_finite_is_refused(tmp_path: Path) -> None:
    network = fresh("sfnet_resnet18")
    backbone = deep_resnet18()
    backbone["layer2.0.bn1.bias"][3] = torch.nan
    with pytest.raises(WeightsError, match=r"not finite: layer2\.0\.bn1\.bias; give"):
        start_from(network, saved(backbone, tmp_path))
    assert unchanged(network, "sfnet_resnet18")


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("sfnet_resnet18", "head.fpn_in.0.0.weight"),
        ("sfnet_resnet18", "layer3.0.conv1.weight"),
        ("fc_hardnet70", "conv1x1_up.1.conv.weight"),
    ],
)
def test_a_damaged_checkpoint_is_not_taken_for_a_backbone(
    name: str, lost: str, tmp_path: Path
) -> None:
    state = fresh(name).state_dict()
    del state[lost]
    with pytest.raises(WeightsError, match=f"1 missing: {lost}"):
        start_from(fresh(name), saved(state, tmp_path))


@pytest.mark.parametrize("name", ["regseg48", "bisenetv2"])
def test_a_network_without_a_backbones_names_says_so_in_a_line(name: str, tmp_path: Path) -> None:
    tensors = torchvision_resnet18()
    reason = (
        rf"another network: none of its {len(tensors)} tensors \(conv1\.weight, .* give weights"
    )
    network = fresh(name)
    with pytest.raises(WeightsError, match=reason) as caught:
        start_from(network, saved(tensors, tmp_path))
    assert len(str(caught.value)) < 500
    assert unchanged(network, name)


def test_nothing_of_a_file_is_run(tmp_path: Path) -> None:
    path = saved({"conv1.0.weight": Attack(tmp_path / "executed")}, tmp_path)
    with pytest.raises(WeightsError, match="never run"):
        start_from(fresh("sfnet_resnet18"), path)
    assert not (tmp_path / "executed").exists()


def test_a_licence_is_that_of_the_card_or_of_our_checkpoint(tmp_path: Path) -> None:
    network, path = fresh("regseg48", 11), tmp_path / "robot.safetensors"
    save_weights(path, network, ModelCard("regseg48", CAMVID, {"licence": "not for sale"}))
    assert licence_of(path) == "not for sale"
    save_weights(path, network, ModelCard("regseg48", CAMVID))
    assert licence_of(path) is None
    ours = {"state_dict": network.state_dict(), "hyper_parameters": {"licence": "not for sale"}}
    assert licence_of(saved(ours, tmp_path)) == "not for sale"
    for foreign in (network.state_dict(), {**ours, "hyper_parameters": [1]}):
        assert licence_of(saved(foreign, tmp_path)) is None
