"""Event sources as their users choose them: one word each, turned into AWS API calls over boto3.

Shared by the notebook, the command line and the Jupyter server; works against this engine and against AWS.
"""
