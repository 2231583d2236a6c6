"""Review queue, verdicts and their application, blind controls, and the estimate of wrong labels.

May import `ranking` and the folders below it.
"""
