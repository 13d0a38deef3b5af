"""Makes %lambda and %%lambda known in every notebook of this environment.

Run by IPython at start from sys.prefix/etc/ipython/startup; removed again by uninstalling jupyter_lambda. It runs in
the user's namespace, so it leaves no name behind, and a failure is one line and never breaks the kernel.
"""

try:
    __import__("jupyter_lambda").load_ipython_extension(get_ipython())  # noqa: F821 - IPython puts it here
except Exception as _jupyter_lambda_error:  # noqa: BLE001 - whatever it is, the kernel must start
    print(f"jupyter_lambda: %%lambda is not available: {type(_jupyter_lambda_error).__name__}: {_jupyter_lambda_error}")  # noqa: T201
