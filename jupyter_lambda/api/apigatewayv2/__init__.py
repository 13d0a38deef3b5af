"""Amazon API Gateway V2: the control plane of HTTP APIs; what they serve is in ``triggers.sites``."""
