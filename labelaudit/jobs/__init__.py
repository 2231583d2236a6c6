"""Long work in processes of its own: starting, watching, stopping and resuming it.

May import everything except `cli` and `ui`.
"""
