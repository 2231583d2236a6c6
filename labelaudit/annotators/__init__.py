"""Several annotators: their labels, how good each one is, and what the label of an image should be.

May import predictions, dataset and the folders below them.
"""
