"""Dataset, View, Sample and Run: cached columns, edits, history, verdict log, ingest and noise.

May import `scores`, `storage` and `core`.
"""
