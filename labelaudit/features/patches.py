"""Features of small colour images: pooled responses to whitened patches of the same images.

Source: Coates, Ng & Lee 2011, "An Analysis of Single-Layer Networks in Unsupervised Feature
Learning", with random patches instead of k-means, and mirrored images added.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
import torch.nn.functional as F

from .device import autocast
from .extractors import Examples, Extractor

FILTERS = 256  # patches: 512 find no more, and take twice the time
SIDE = 6  # pixels of a patch
STRIDE = 2  # pixels between positions: 1 takes eight times as long, and finds 0.02 more
POOLED = 3  # cells per side in which responses are averaged: 2 find 0.773, 3 find 0.800
THRESHOLD = 1.0  # of a response, in standard deviations of the whitened patches
FITTED = 30_000  # patches from which the whitening is estimated
CONTRAST = 10.0  # added to the variance of a patch, so that a flat one does not become noise
FLATTEST = 0.1  # added to the variances of the whitened directions
MAX_SIZE = 32  # side in pixels; larger images are reduced
ROWS = 25  # images at once: their responses fit the processor's cache


class Patches(Extractor):
    """Features of small colour images, float32 (n, 2 * FILTERS * POOLED^2).

    filters: float32 (FILTERS, 3, SIDE, SIDE). bias: float32 (FILTERS,). size: side in pixels of the
    images.
    """

    name = "patches"
    width = 2 * FILTERS * POOLED**2

    def __init__(self, filters: np.ndarray, bias: np.ndarray, size: int) -> None:
        self.size = size
        self.state = np.concatenate([filters.ravel(), bias]).astype(np.float32).tobytes()
        digest = hashlib.blake2b(self.state, digest_size=6).hexdigest()
        self.version = f"{digest} at {size} px"
        self.filters, self.bias = torch.from_numpy(filters), torch.from_numpy(bias)
        self.average = torch.full((1, 3, SIDE, SIDE), 1 / (3 * SIDE * SIDE))

    @torch.inference_mode()
    def of(self, images: torch.Tensor) -> np.ndarray:
        """Return square roots of the pooled responses of images, uint8 (n, 3, S, S), and their
        mirror images."""
        parts = []
        for some in images.split(ROWS):
            pixels = some.float()
            parts.append((self._pooled(pixels) + self._pooled(pixels.flip(3))).sqrt())
        return torch.cat(parts).numpy()

    def _pooled(self, pixels: torch.Tensor) -> torch.Tensor:
        mean = F.conv2d(pixels, self.average, stride=STRIDE)
        square = F.conv2d(pixels * pixels, self.average, stride=STRIDE)
        scale = torch.rsqrt((square - mean * mean).clamp_min(0) + CONTRAST)
        with autocast(pixels.device):
            response = F.conv2d(pixels - 128, self.filters, stride=STRIDE)
        response = response * scale.to(response.dtype)
        response -= self.bias.to(response.dtype)[:, None, None]
        both = [F.relu(response - THRESHOLD), F.relu(-response - THRESHOLD)]
        pooled = [F.adaptive_avg_pool2d(part, POOLED).float().flatten(1) for part in both]
        return torch.cat(pooled, dim=1)


def open_patches(_: str, examples: Examples) -> Patches:
    """Open the extractor for the images of a dataset; filters that are stored are used again."""
    size = int(np.clip(examples.side, 2 * SIDE, MAX_SIZE))
    if examples.state:
        numbers = np.frombuffer(examples.state, np.float32).copy()
        filters = numbers[:-FILTERS].reshape(-1, 3, SIDE, SIDE)
        return Patches(filters, numbers[-FILTERS:], size)
    return Patches(*fit_patches(examples.images(size)), size)


def fit_patches(images: torch.Tensor, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Whiten random patches of images, uint8 (n, 3, S, S), S at least SIDE.

    Returns filters, float32 (FILTERS, 3, SIDE, SIDE), and a bias each.
    """
    rng = np.random.default_rng(seed)
    patches = _contrast(_cut(images, rng))
    mean = patches.mean(axis=0)
    variance, directions = np.linalg.eigh(np.cov((patches - mean).T))
    scale = 1 / np.sqrt(np.maximum(variance, 0) + FLATTEST)
    whiten = (directions * scale) @ directions.T
    chosen = ((patches - mean) @ whiten)[rng.permutation(len(patches))[:FILTERS]]
    chosen /= np.maximum(np.linalg.norm(chosen, axis=1, keepdims=True), 1e-6)
    filters = (chosen @ whiten).astype(np.float32)
    bias = (filters @ mean).astype(np.float32)
    filters -= filters.mean(axis=1, keepdims=True)  # subtracts the mean of a patch
    return filters.reshape(-1, 3, SIDE, SIDE), bias


def _cut(images: torch.Tensor, rng: np.random.Generator) -> np.ndarray:
    """Return random patches, float32 (FITTED, 3 * SIDE^2)."""
    pixels = images.numpy()
    n, _, height, width = pixels.shape
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (SIDE, SIDE), axis=(2, 3))
    rows = rng.integers(0, height - SIDE + 1, FITTED)
    columns = rng.integers(0, width - SIDE + 1, FITTED)
    cut = windows[rng.integers(0, n, FITTED), :, rows, columns]
    return cut.reshape(FITTED, -1).astype(np.float32)


def _contrast(patches: np.ndarray) -> np.ndarray:
    """Return the patches with mean 0 and equal contrast."""
    variance = patches.var(axis=1, keepdims=True)
    return (patches - patches.mean(axis=1, keepdims=True)) / np.sqrt(variance + CONTRAST)
