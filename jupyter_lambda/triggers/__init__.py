"""What fires functions by itself: HTTP, schedules, streams, queues, buckets, topics, folders; and where those live.

``host`` puts the parts together; each part is a folder or module of its own and knows nothing of the others.
"""
