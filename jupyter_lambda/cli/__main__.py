"""``python -m jupyter_lambda.cli``."""

from . import main

main()
