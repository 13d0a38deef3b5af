"""Event source mappings: what reads streams and queues, in batches, for functions.

``host`` keeps one ``task`` for each mapping; a task lets a ``poller`` of the mapping's kind run and follows its states.
Pollers get all they need by ``context``: invoking with back-off, filters, metrics, the last result.
"""
