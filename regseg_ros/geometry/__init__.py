"""From labels to places: what is paired with a segmentation, and the messages that come of it."""
