"""RegSeg itself: its blocks, backbones, decoders, and the tables of its variants."""
