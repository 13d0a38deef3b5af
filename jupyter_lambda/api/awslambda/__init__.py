"""AWS Lambda's operations, a module for each family: each function bears the name of its operation.

These functions translate between AWS's members and the engine's words; what an operation means is decided in
``engine/``. A module's ``WITHOUT_EFFECT`` names the parameters that are accepted, and kept where AWS returns them, but
change nothing here.
"""
