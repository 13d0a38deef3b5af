"""Products that a user could pick instead, installed from PyPI into environments of their own, measured alike."""
