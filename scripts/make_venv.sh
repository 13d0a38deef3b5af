#!/bin/sh
# Makes the virtual environment $VENV with $PYTHON; as root on Debian it installs python3-venv where that is missing.
set -eu

fail() {
    echo "make: $*" >&2
    exit 1
}

if [ -x "$VENV/bin/python" ] && "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
    exit 0
fi
command -v "$PYTHON" >/dev/null ||
    fail "$PYTHON was not found; install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3.11 …"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$PYTHON is $("$PYTHON" --version); jupyter_lambda needs 3.11 or newer: make PYTHON=/path/to/python3.11 …"
if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "make: installing python3-venv"
        export DEBIAN_FRONTEND=noninteractive
        { apt-get update -qq && apt-get install -qq -y --no-install-recommends python3-venv; } >/dev/null ||
            fail "apt-get could not install python3-venv; its message stands above"
    else
        fail "this Python can't make virtual environments; on Debian: sudo apt-get install python3-venv"
    fi
fi
"$PYTHON" -m venv --clear "$VENV"
