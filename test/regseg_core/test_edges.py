"""Targets of heads that find edges, on label maps drawn by hand, and the losses against them."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from regseg_core.arrays import Image
from regseg_core.model import create_model
from regseg_core.training.edges import (
    EDGE_LOSSES,
    boundaries,
    boundary_loss,
    detail_loss,
    details,
)

TARGETS: dict[str, Callable[[Tensor], Tensor]] = {"detail": details, "boundary": boundaries}
LOSSES = pytest.mark.parametrize("name", EDGE_LOSSES)


def plain(height: int = 40, width: int = 50) -> Tensor:
    """1 x H x W of class 0, as the loaders give it."""
    return torch.zeros(1, height, width, dtype=torch.uint8)


def street() -> Tensor:
    """Sky, road, a house, two poles, and a region that is ignored."""
    truth = plain(120, 180)
    truth[:, 70:] = 1
    truth[:, 30:80, 40:70] = 13
    truth[:, 20:100, 90:93] = 5
    truth[:, 15:95, 120] = 6
    truth[:, 60:75, 140:165] = 255
    return truth


def logits_for(wanted: Tensor, certain: float = 10.0) -> Tensor:
    return (certain * (2 * wanted - 1))[:, None]


def columns(found: Tensor) -> list[int]:
    """Where the map's middle row is set."""
    row = found[0, found.shape[1] // 2]
    return [int(column) for column in row.nonzero()]


def test_a_boundary_is_four_pixels_wide_and_lies_on_both_classes() -> None:
    truth = plain()
    truth[:, :, 20:] = 3
    assert columns(boundaries(truth)) == [18, 19, 20, 21]
    assert columns(boundaries(3 - truth)) == [18, 19, 20, 21]
    turned = boundaries(truth.transpose(1, 2)).transpose(1, 2)
    assert torch.equal(turned, boundaries(truth))


def test_no_boundary_begins_in_the_rim() -> None:
    truth = plain()
    truth[:, :, 20:] = 3
    rows = [int(row) for row in boundaries(truth)[0, :, 20].nonzero()]
    assert rows == list(range(5, 40 - 4))
    truth = plain()
    truth[:, :, 6:] = 3  # the line before it is the last one of the rim
    assert not boundaries(truth).any()
    assert not boundaries(torch.randint(0, 5, (2, 12, 9))).any()


def published(truth: Image) -> npt.NDArray[np.bool_]:
    """The recipe of the published code: Canny, rim, 4 x 4."""
    lines = cv2.Canny(truth, 0.1, 0.2)
    inside = np.zeros_like(lines)
    inside[6:-6, 6:-6] = lines[6:-6, 6:-6]
    return cv2.dilate(inside, np.ones((4, 4), np.uint8)) > 0


def test_what_has_no_class_begins_no_boundary() -> None:
    truth = plain()
    truth[:, :, 20:] = 255  # as a crop's padding
    assert not boundaries(truth).any()


def test_boundaries_are_nearly_those_of_canny() -> None:
    truth = street()
    truth[truth == 255] = 1  # where there is no class, ours differ on purpose
    given, wanted = boundaries(truth)[0].numpy() > 0, published(truth[0].numpy())
    assert (given & wanted).sum() / (given | wanted).sum() > 0.95


@pytest.mark.parametrize(("pole", "ground"), [(5, 0), (5, 2), (1, 4)])
def test_the_detail_of_a_pole_of_one_pixel_is_found(pole: int, ground: int) -> None:
    truth = plain() + ground
    truth[:, :, 25] = pole
    found = columns(details(truth))
    # A Laplacian is positive on the side of the greater class.
    assert set(found) >= ({25} if pole > ground else {24, 26})
    inside = [column for column in found if 4 <= column < 46]
    assert set(inside) <= set(range(22, 30))


def test_details_of_the_coarsest_stride_alone_do_not_count() -> None:
    """Their share of 0.1 is not above the threshold."""
    truth = plain()
    truth[:, :, 16] = 7  # strides 2 and 4 see it too, over columns 16..17 and 16..19
    assert columns(details(truth)) == [16, 17]


def test_a_plain_map_has_no_edges() -> None:
    for ground in (0, 3, 255):
        assert not boundaries(plain() + ground).any()
        # Beyond the border is class 0, for the Laplacian.
        assert not details(plain() + ground)[:, 2:-2, 2:-2].any()
    assert not details(plain()).any()


def test_without_a_boundary_there_is_no_loss_and_no_gradient() -> None:
    logits = torch.randn(1, 1, 40, 50).requires_grad_()
    loss = boundary_loss(logits, plain())
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert logits.grad is not None and (logits.grad == 0).all()


def test_without_a_detail_none_is_wanted() -> None:
    logits = torch.randn(1, 1, 40, 50).requires_grad_()
    detail_loss(logits, plain()).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None and logits.grad.isfinite().all() and (logits.grad > 0).all()
    assert detail_loss(torch.full((1, 1, 40, 50), -20.0), plain()).item() == pytest.approx(
        0, abs=1e-4
    )


@LOSSES
def test_perfect_logits_lose_less_than_random_and_inverted_ones(name: str) -> None:
    loss, truth = EDGE_LOSSES[name], street()
    wanted = TARGETS[name](truth)
    assert 0 < wanted.mean() < 0.5 and ((wanted == 0) | (wanted == 1)).all()
    perfect = loss(logits_for(wanted), truth)
    random = loss(torch.randn(1, 1, *truth.shape[1:]), truth)
    inverted = loss(logits_for(1 - wanted), truth)
    assert 0 <= perfect < 1e-3 and perfect < random < inverted


@LOSSES
@pytest.mark.parametrize("size", [(32, 32), (33, 71), (5, 7)])
def test_edge_losses_are_numbers_at_any_size(name: str, size: tuple[int, int]) -> None:
    logits = (30 * torch.randn(2, 1, *size)).half().requires_grad_()
    truth = torch.randint(0, 5, (2, *size))
    truth[:, :2] = 255
    EDGE_LOSSES[name](logits, truth).backward()  # type: ignore[no-untyped-call]
    assert TARGETS[name](truth).shape == truth.shape
    assert logits.grad is not None and logits.grad.isfinite().all()


def test_a_boundary_weighs_as_much_as_all_the_rest() -> None:
    truth = street()
    share = boundaries(truth).mean().item()
    loss = boundary_loss(torch.zeros(1, 1, *truth.shape[1:]), truth)
    assert loss.item() == pytest.approx(2 * share * (1 - share) * np.log(2), rel=1e-4)


def test_detail_loss_is_cross_entropy_and_dice() -> None:
    truth = street()
    share = details(truth).mean().item()
    count = truth.numel()
    dice = 1 - (share * count + 1) / (0.5 * count + share * count + 1)
    loss = detail_loss(torch.zeros(1, 1, *truth.shape[1:]), truth)
    assert loss.item() == pytest.approx(np.log(2) + dice, rel=1e-4)


@LOSSES
def test_no_edge_loss_waits_for_the_device(name: str) -> None:
    """On PyTorch's fake device, where a look at a value is an error."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    mode = FakeTensorMode()
    inputs = mode.from_tensor(torch.randn(1, 1, 40, 50)), mode.from_tensor(plain())
    with mode:
        assert EDGE_LOSSES[name](*inputs).shape == ()


def test_pidnet_asks_again_where_a_boundary_is_probable() -> None:
    torch.manual_seed(1)
    model = create_model("pidnet_s", 5)
    model.get_parameter("seghead_d.conv2.weight").data.mul_(10)
    main, detail, boundary, aware = model.forward_training(torch.randn(2, 3, 64, 96))
    assert aware.logits is main.logits and main.where is detail.where is boundary.where is None
    assert aware.where is not None and 0 < aware.where.float().mean() < 1
    assert torch.equal(aware.where, torch.sigmoid(boundary.logits[:, 0]) > 0.8)
    assert boundary.target == "boundary" and boundary.logits.shape == (2, 1, 64, 96)
