"""Errors, progress, image decoding, CSV cells, and the environment of subprocesses.

Imports nothing else of LabelAudit.
"""
