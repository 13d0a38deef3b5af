"""What runs inside the sandbox of a notebook job: packed with the notebook as the package ``jupyter_lambda_job``.

========== ==============================================================
handler    the Lambda handler: one event is one run
parameters the injected cell, by papermill's convention
execute    the kernel, cell after cell, within the function's time
report     HTML, by nbconvert where this Python has it
upload     artefacts, signed with the function's own credentials
========== ==============================================================

Standard library, nbformat and nbclient only; nothing of the rest of the project is there (``signing`` is a copy).
"""
