"""Checks: what they are, how they are shown and kept."""
