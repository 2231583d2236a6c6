"""Long work in processes of its own: starting, watching, stopping and resuming it.

May import everything but `cli` and `ui`.
"""
