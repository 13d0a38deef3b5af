"""AWS's RPC protocols, a module each: awsJson 1.0 and 1.1, smithy's rpc-v2-cbor, and query with XML answers.

Each reads the parameters of a request by the shapes of the service's description, writes results and words errors; what
they have in common, above all how an operation is described, is in ``rpc``. REST protocols find operations by path and
spread members over path, query, headers and body: see ``api/rest_json.py``.
"""
