"""The losses equal their definitions, and are numbers whatever is labelled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.nn import functional as F

from regseg_core.training.config import LossConfig
from regseg_core.training.losses import PixelLoss, class_weights
from regseg_core.training.lovasz import lovasz_softmax

CONFIGS = [
    LossConfig(),
    LossConfig(class_weights=1),
    LossConfig("bootstrapped"),
    LossConfig("bootstrapped", class_weights=1),
    LossConfig(lovasz=0.5),
]


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(2, 5, 8, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()


@pytest.fixture
def truth() -> torch.Tensor:
    truth = torch.randint(0, 5, (2, 8, 9), generator=torch.Generator().manual_seed(1))
    truth[0, :3] = 255
    return truth.to(torch.uint8)


def test_cross_entropy_is_the_mean_over_labelled_pixels(
    logits: torch.Tensor, truth: torch.Tensor
) -> None:
    expected = F.cross_entropy(logits, truth.long(), ignore_index=255)
    torch.testing.assert_close(PixelLoss(LossConfig())(logits, truth), expected)


def test_class_weights_weigh_the_mean(logits: torch.Tensor, truth: torch.Tensor) -> None:
    weights = torch.tensor([1.0, 5.0, 0.5, 2.0, 1.0])
    expected = F.cross_entropy(logits, truth.long(), weights, ignore_index=255)
    torch.testing.assert_close(PixelLoss(LossConfig(), weights)(logits, truth), expected)


def test_class_weights_follow_enets_rule() -> None:
    weights = class_weights(np.array([900, 100, 0]))
    rule = 1 / np.log(1.02 + np.array([0.9, 0.1, 0.0]))
    np.testing.assert_allclose(weights / weights[0], rule / rule[0], rtol=1e-5)
    assert 0.9 * weights[0] + 0.1 * weights[1] == pytest.approx(1)
    assert torch.isfinite(class_weights(np.zeros(3, np.int64))).all()
    half = class_weights(np.array([900, 100, 0]), 0.5)
    np.testing.assert_allclose(half / half[0], (rule / rule[0]) ** 0.5, rtol=1e-5)
    assert 0.9 * half[0] + 0.1 * half[1] == pytest.approx(1)


@pytest.mark.parametrize(("threshold", "hardest"), [(0.3, 0.0625), (2.5, 0.25), (100.0, 0.0625)])
def test_bootstrapped_keeps_the_hard_pixels(
    logits: torch.Tensor, truth: torch.Tensor, threshold: float, hardest: float
) -> None:
    losses = F.cross_entropy(logits, truth.long(), ignore_index=255, reduction="none").flatten()
    ordered = losses.sort(descending=True).values
    least = int(len(ordered) * hardest)
    kept = max(least, int((ordered > threshold).sum()))
    loss = PixelLoss(LossConfig("bootstrapped", threshold, hardest))(logits, truth)
    torch.testing.assert_close(loss, ordered[:kept].mean())
    assert (kept == least) == (threshold > 1)


def test_bootstrapped_of_fewer_labelled_pixels_than_its_share(logits: torch.Tensor) -> None:
    """As where a term counts on few pixels alone: it weighs as much as elsewhere."""
    truth = torch.full((2, 8, 9), 255, dtype=torch.uint8)
    truth[0, 3, :4] = torch.tensor([0, 1, 2, 3], dtype=torch.uint8)
    mean = F.cross_entropy(logits, truth.long(), ignore_index=255)
    for threshold in (0.0, 100.0):
        loss = PixelLoss(LossConfig("bootstrapped", threshold, 0.25))(logits, truth)
        torch.testing.assert_close(loss, mean)


@pytest.mark.parametrize("config", CONFIGS)
def test_nothing_labelled_is_no_loss_and_no_gradient(
    config: LossConfig, logits: torch.Tensor
) -> None:
    weights = torch.ones(5) if config.class_weights else None
    loss = PixelLoss(config, weights)(logits, torch.full((2, 8, 9), 255, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None and (logits.grad == 0).all()


@pytest.mark.parametrize("config", CONFIGS)
def test_no_loss_waits_for_the_device(
    config: LossConfig, logits: torch.Tensor, truth: torch.Tensor
) -> None:
    """On PyTorch's fake device, where a look at a value is an error."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    mode = FakeTensorMode()
    weights = mode.from_tensor(torch.ones(5)) if config.class_weights else None
    inputs = mode.from_tensor(logits.detach()), mode.from_tensor(truth)
    with mode:
        assert PixelLoss(config, weights)(*inputs).shape == ()


def jaccard_loss(wrong: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_]) -> float:
    """One minus the IoU of a class if those pixels were taken wrongly."""
    hit = right & ~wrong
    return float(1 - hit.sum() / (right | wrong).sum())


def test_lovasz_of_sure_labels_is_one_minus_the_mean_iou(truth: torch.Tensor) -> None:
    truth[truth == 3] = 0  # a class that no pixel has does not count
    found = torch.randint(0, 5, truth.shape, generator=torch.Generator().manual_seed(2))
    blocks = [labels.repeat_interleave(2, 1).repeat_interleave(2, 2) for labels in (found, truth)]
    sure = 200 * F.one_hot(blocks[0], 5).permute(0, 3, 1, 2).float()
    known = (truth != 255).numpy()
    label, guess = truth.numpy()[known], found.numpy()[known]
    losses = [jaccard_loss((guess == k) != (label == k), label == k) for k in (0, 1, 2, 4)]
    loss = lovasz_softmax(sure, blocks[1]).item()
    assert loss == pytest.approx(np.mean(losses), abs=1e-6)


def test_lovasz_equals_its_definition(logits: torch.Tensor, truth: torch.Tensor) -> None:
    """Worst pixels first, each weighs what it takes from the IoU (equation 9 of the paper)."""
    seen = truth[:, ::2, ::2]
    shares = logits[:, :, ::2, ::2].softmax(1).permute(0, 2, 3, 1)[seen != 255]
    label = seen[seen != 255].numpy()
    classes = []
    for k in range(5):
        right = label == k
        errors = torch.where(torch.from_numpy(right), 1 - shares[:, k], shares[:, k])
        wrong = np.zeros_like(right)
        before = 0.0
        for place in errors.argsort(descending=True).tolist():
            wrong[place] = True
            after = jaccard_loss(wrong, right)
            classes.append(errors[place] * (after - before))
            before = after
    expected = torch.stack(classes).sum() / 5
    loss = lovasz_softmax(logits, truth)
    torch.testing.assert_close(loss, expected)
    (slope,), (wanted,) = (torch.autograd.grad(value, logits) for value in (loss, expected))
    torch.testing.assert_close(slope, wanted)
    assert slope[1, :, ::2, ::2].abs().min() > 0
    assert (slope[0, :, :3] == 0).all(), "not labelled"


def test_lovasz_is_added(logits: torch.Tensor, truth: torch.Tensor) -> None:
    alone = PixelLoss(LossConfig("bootstrapped"))(logits, truth)
    both = PixelLoss(LossConfig("bootstrapped", lovasz=0.5))(logits, truth)
    torch.testing.assert_close(both, alone + 0.5 * lovasz_softmax(logits, truth))
