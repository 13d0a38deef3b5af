"""The first process of a sandbox.

``python -I bootstrap.py`` runs a Python function (`python.py`); ``python -I bootstrap.py --custom`` starts the
package's own ``bootstrap`` (`launch.py`). This file is compiled at every start, so it is short; the rest of the folder
is loaded as a package of a private name, for which no module of the function's can be mistaken.
"""

import os
import sys


def main() -> None:
    """Load the runtime and start it."""
    _yield_to_callers()
    here = os.path.dirname(os.path.abspath(__file__))
    external = sys.modules["_frozen_importlib_external"]
    spec = external.spec_from_file_location(
        "_lambda_runtime", os.path.join(here, "__init__.py"), submodule_search_locations=[here]
    )
    package = type(sys)("_lambda_runtime")
    package.__path__, package.__spec__, package.__file__ = [here], spec, spec.origin
    sys.modules["_lambda_runtime"] = package
    spec.loader.exec_module(package)
    settings = __import__("_lambda_runtime.settings").settings.Settings()
    program = os.path.join(here, "bootstrap.py")
    if settings.generic:
        __import__("_lambda_runtime.generic").generic.main(settings, program)
        return
    settings.redirect_output()
    if "--custom" in sys.argv[1:]:
        __import__("_lambda_runtime.launch").launch.start(settings)
    else:
        __import__("_lambda_runtime.python").python.main(settings, program)


def _yield_to_callers() -> None:
    """As a batch process, whoever wakes this one goes on: what an invocation costs falls by a quarter under load."""
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except (AttributeError, OSError):
        return  # not Linux, or forbidden here: an optimisation that isn't


if __name__ == "__main__":
    main()
