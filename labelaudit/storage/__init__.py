"""Local disk and object storage, locks, tables and their schema.

The only folder that imports lancedb and filelock. May import `core`.
"""

import os

os.environ.setdefault("LANCEDB_LOG", "error")  # else it warns about every table that it creates
