"""What was seen in one frame."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from regseg_core.arrays import Image
from regseg_core.errors import ArgumentError
from regseg_core.frame import Frame
from regseg_core.groups import Groups, Role
from regseg_core.labels import IGNORE_INDEX, LabelSet


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Labels of a frame of H x W pixels."""

    #: H x W uint8: the label id of each pixel.
    labels: Image
    #: H x W uint8: 255 x the softmax probability of that label; None unless asked for.
    confidence: Image | None
    label_set: LabelSet
    frame: Frame
    #: What the classes mean to a robot, where that is known.
    groups: Groups | None = None

    @cached_property
    def mean_confidence(self) -> float | None:
        """0 to 1, over all pixels; None where it was not asked for."""
        return None if self.confidence is None else cv2.mean(self.confidence)[0] / 255

    def mask(self) -> Image:
        """H x W x 3 uint8 RGB: each pixel in its label's colour, black where it has none."""
        return self._mask

    @cached_property
    def _mask(self) -> Image:
        palette = self.label_set.palette.reshape(256, 1, 3)
        return cv2.applyColorMap(self.labels, palette).astype(np.uint8, copy=False)

    def overlay(self, alpha: float = 0.5) -> Image:
        """H x W x 3 uint8 RGB: the frame under the mask, which has weight `alpha` (0 to 1).

        Reads the frame that was given, so call it before that memory is used again.
        Raises ArgumentError for an `alpha` outside 0..1.
        """
        if not 0 <= alpha <= 1:
            raise ArgumentError(f"alpha must be 0 to 1, not {alpha}")
        rgb = self.frame.rgb()
        return cv2.addWeighted(rgb, 1 - alpha, self.mask(), alpha, 0).astype(np.uint8, copy=False)

    @property
    def unlabelled(self) -> int:
        """The id of pixels without a class: 255, or `ignore_id` where a class has that."""
        return self.label_set.ignore_id if IGNORE_INDEX in self.label_set.ids else IGNORE_INDEX

    def limited(self, classes: Collection[str] = (), min_confidence: float = 0.0) -> Segmentation:
        """The same with 255, unlabelled, where it is of no interest.

        That is where the class is not among `classes`, names of the label set (none: all are), and
        where the label's probability is below `min_confidence` (0 to 1).
        Raises ArgumentError for an unknown name, and for `min_confidence` without confidence.
        """
        labels = self.labels
        ids = self.label_set.ids
        if classes:
            table = np.full(256, self.unlabelled, np.uint8)
            for name in classes:
                if name not in self.label_set.names:
                    known = ", ".join(self.label_set.names)
                    raise ArgumentError(f"there is no class {name!r}; there are {known}")
                wanted = ids[self.label_set.names.index(name)]
                table[wanted] = wanted
            labels = cv2.LUT(labels, table).astype(np.uint8, copy=False)
        if min_confidence > 0:
            if self.confidence is None:
                raise ArgumentError("min_confidence needs a segmentation with confidence")
            unsure = self.confidence < 255 * min_confidence
            labels = np.where(unsure, np.uint8(self.unlabelled), labels)
        return self if labels is self.labels else replace(self, labels=labels)

    def ids(self, *roles: Role) -> frozenset[int]:
        """The ids in `labels` that mean this to a robot. Raises ArgumentError without groups."""
        groups = self._known_groups()
        table, wanted = groups.table(self.label_set), groups.ids(*roles)
        return frozenset(number for number in self.label_set.ids if table[number] in wanted)

    def costs(self) -> Image:
        """256 uint8: the cost of each id in `labels`. Raises ArgumentError without groups."""
        groups = self._known_groups()
        return groups.costs[groups.table(self.label_set)]

    @cached_property
    def group_ids(self) -> Image:
        """H x W uint8: the group of each pixel, 255 where it is in none.

        Raises ArgumentError without groups.
        """
        table = self._known_groups().table(self.label_set)
        return cv2.LUT(self.labels, table).astype(np.uint8, copy=False)

    def grouped(self) -> Segmentation:
        """The same with the groups for classes. Raises ArgumentError without groups."""
        groups = self._known_groups()
        return replace(self, labels=self.group_ids, label_set=groups.label_set)

    def cost(self) -> Image:
        """H x W uint8: 0, free, to 254, lethal; 255 where it is unknown.

        Raises ArgumentError without groups.
        """
        return cv2.LUT(self.labels, self.costs()).astype(np.uint8, copy=False)

    def _known_groups(self) -> Groups:
        if self.groups is None:
            raise ArgumentError(
                f"no built-in groups fit the classes {', '.join(self.label_set.names)}: give groups"
            )
        return self.groups
