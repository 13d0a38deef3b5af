"""Amazon API Gateway: the control plane of REST APIs; what they serve is in ``triggers.sites``."""
