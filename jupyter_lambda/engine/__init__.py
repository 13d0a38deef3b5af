"""Decisions: which environment runs what, when, and what is remembered of it."""
