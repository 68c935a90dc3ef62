"""Raises while it is imported."""

raise RuntimeError("the module is broken")
