"""What images look like: decoded batches, feature extractors, nearest neighbours and duplicates.

May import `export`, `dataset` and the folders below them. Uses torch.
"""
