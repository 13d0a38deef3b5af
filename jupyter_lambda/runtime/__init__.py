"""What runs inside a sandbox. Standard library only, Python 3.9 to 3.14, imports nothing of the rest of the package.

The folder is mounted read-only at /var/runtime. ``bootstrap.py`` is the first process: the Python runtime, or with
``--custom`` the start of a ``provided`` runtime's own ``bootstrap``. ``forward.py`` brings the engine's socket to a TCP
port inside the sandbox. Behaves as AWS's runtime interface client for Python does.
"""
