"""CloudWatch metrics: each function bears the name of its operation."""
