"""Local disk and object storage, locks, tables and their schema.

The only folder that imports lancedb. May import `core`.
"""
