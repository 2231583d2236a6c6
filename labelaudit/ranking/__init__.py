"""The scores of a run, its suspects, their evaluation, the evidence for one sample, and insights.

May import `learn`, `features`, `dataset` and the folders below them.
"""
