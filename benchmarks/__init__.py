"""Measurements, each with a named baseline in the same run."""
