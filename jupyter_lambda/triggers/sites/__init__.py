"""Sites: what functions serve to HTTP clients that know nothing of AWS: Function URLs, and API Gateway's APIs.

``address`` recognises their requests, ``host`` hands each to what answers its kind, ``events`` and ``responses``
translate between HTTP and AWS's payload formats, ``origin`` keeps pages of functions apart from Jupyter.
"""
