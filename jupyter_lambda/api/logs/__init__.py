"""CloudWatch Logs for the functions' groups, /aws/lambda/NAME: each function bears the name of its operation."""
