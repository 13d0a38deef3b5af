"""Signatures. In a job's package the module named here stands in this one's place."""

from jupyter_lambda.signing import Signer

__all__ = ["Signer"]
