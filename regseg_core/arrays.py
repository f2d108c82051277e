"""The one type of array that passes between the modules: pixels and label ids, a byte each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: uint8, H x W or H x W x C; each function says which.
Image = npt.NDArray[np.uint8]
