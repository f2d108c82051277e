"""Measurements: each compares something of ours with a named baseline in the same run."""
