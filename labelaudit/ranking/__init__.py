"""Scores of a run, ranking, evaluation, evidence for one sample, and insights.

May import `predictions`, `learn`, `features`, `dataset` and the folders below them.
"""
