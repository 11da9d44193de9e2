"""Hosts of the lab."""
