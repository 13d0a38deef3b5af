"""What buckets (S3) and topics (SNS) tell functions, by way of a queue of the engine's own for each.

``buckets`` and ``topics`` make such queues and tell the cloud of them, ``host`` keeps one ``pump`` for each, which
turns messages into asynchronous invocations; ``s3_rules``, ``s3_events``, ``sns_events`` are pure.
"""
