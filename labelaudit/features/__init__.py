"""What images look like: image batches, features, nearest neighbours and duplicates.

May import `export`, `dataset` and the folders below them. Uses torch.
"""
