"""Labelled images: where they come from and how training varies them."""
