"""From many frames to the few that are worth labelling by hand."""
