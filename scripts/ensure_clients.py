"""See to it that Chromium and curl are there, for the tests that ask the engine as people do.

As root on Debian it installs what is missing. Elsewhere it says what to do. Exit code 1 only where
JUPYTER_LAMBDA_REQUIRE_BROWSER=1: the other tests run without.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import debian

#: Program → the packages it comes with; pages need letters, too.
PACKAGES = {"chromium": ("chromium", "fonts-dejavu-core"), "curl": ("curl", "ca-certificates")}


def main() -> int:
    """Install as needed; prints one line."""
    missing = [package for program, packages in PACKAGES.items() if not shutil.which(program) for package in packages]
    if not missing:
        print("Chromium and curl: they are here")
        return 0
    why = f"install them (Debian: sudo apt-get install {' '.join(missing)})"
    if os.geteuid() == 0:
        try:
            debian.install(*missing)
        except debian.NotInstalled as exc:
            why = str(exc)
        else:
            print("Chromium and curl: installed")
            return 0
    required = os.environ.get("JUPYTER_LAMBDA_REQUIRE_BROWSER") == "1"
    print(f"Chromium or curl not found: {why}", file=sys.stderr)
    print(f"the tests with them {'can not run: giving up' if required else 'are skipped'}", file=sys.stderr)
    return int(required)


if __name__ == "__main__":
    sys.exit(main())
