"""Requests for S3, SQS, SNS, Kinesis, DynamoDB …: verified here as every other, then handed on to the cloud.

``services`` lists them and finds a request's operation; ``s3_signature`` and ``chunked`` verify what S3 alone has;
``forward.Forward`` does the rest.
"""
