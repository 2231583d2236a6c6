"""How strongly a model supports the given label of each sample."""

from __future__ import annotations

import numpy as np
import torch


def margin_and_p_label(
    logits: torch.Tensor, labels: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """The margin of the given class over the best other class, and the probability of the given
    class: float32 (n,) each, on the device of the logits.

    logits: float32 (n, C). labels: int (n,); where a label is negative, the results have no
    meaning.
    """
    given = torch.from_numpy(np.maximum(labels, 0).astype(np.int64)).to(logits.device)[:, None]
    own = logits.gather(1, given)[:, 0]
    best_other = logits.scatter(1, given, -torch.inf).amax(1)
    return own - best_other, (own - logits.logsumexp(1)).exp()
