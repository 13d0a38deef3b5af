"""Kinesis data streams and DynamoDB streams: shards read in order, in batches, with durable positions.

``source`` says what a stream is asked for (``kinesis``, ``dynamodb`` ask it); ``state`` is what is kept of a shard on
disk; ``progress``, ``retries``, ``windows`` and ``report`` decide, without I/O; ``shard`` reads one shard, ``lane``
makes batches of it and invokes, ``discards`` are what is given up, ``poller`` keeps the shards of one mapping.
"""
