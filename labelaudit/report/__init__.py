"""The report: one HTML file without scripts or links to other files, to send, print or archive.

May import: review, ranking, export, features, dataset, storage, scores and core.
"""

from .page import report_html, write_report

__all__ = ["report_html", "write_report"]
