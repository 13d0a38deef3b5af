"""Where S3, SQS, SNS, Kinesis, DynamoDB … live: a server of the engine's own, an endpoint elsewhere, or AWS.

``home`` says which; ``embedded`` keeps the server that the engine starts, ``child`` runs inside it; ``calls`` turns an
operation's name and parameters into an answer, whatever the home; ``host.Cloud`` is what everybody else uses.
"""
