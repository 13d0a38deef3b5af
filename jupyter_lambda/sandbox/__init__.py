"""Sandboxes: one execution environment each, and the drivers that run them."""
