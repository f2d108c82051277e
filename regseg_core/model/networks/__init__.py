"""The networks that RegSeg is compared with, under the names of their published checkpoints."""
