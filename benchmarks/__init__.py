"""The benchmark suite: the real engine, spoken to over HTTP as by any client, beside references in the same run.

``python -m benchmarks --list`` names what it measures; ``make bench`` runs it and writes docs/performance.md.
"""
