"""Wildcards of IAM's policies: ``*`` stands for any characters, ``?`` for one.

Source: IAM User Guide, "IAM JSON policy elements: Resource", "Using wildcards in resource ARNs".
"""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache


@lru_cache(maxsize=1024)
def wildcards(text: str) -> re.Pattern[str]:
    """What a text with wildcards matches (as a whole).

    In time that grows with text times pattern, which plain ``.*`` would not: who asks for a long path chooses one side
    of the comparison. That is how ``fnmatch`` writes it; of its own signs only the bracket is none of IAM's.
    """
    return re.compile(fnmatch.translate(text.replace("[", "[[]")))
