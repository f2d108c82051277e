"""The networks that RegSeg is compared with: one family, or one shared backbone, a file."""
