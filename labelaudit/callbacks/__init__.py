"""Recorder callbacks for training frameworks: Lightning, Hugging Face, skorch and Keras.

Each module imports its framework, and no other module imports it. May import `predictions`, `learn`
and the folders below them.
"""
