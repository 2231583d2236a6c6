"""What a Recorder costs in your own training loop: alternating epochs with and without it.

    python benchmarks/recorder.py                             # digits, the small net
    python benchmarks/recorder.py --data ../shared/data/cifar10/train.zip --images 5000

It measures CPU-seconds, because other work on the machine affects them less than seconds. Each pair
of epochs is one with and one without a Recorder, in alternating order; the share is the median over
the pairs. Work that is done once (beginning and finishing the run) is measured separately.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from common import fresh_home, save
from walkthrough import first_images

CLASSES = (10, 100, 1000)
BATCH = 125


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="digits", help="digits, or a zip with a csv beside it")
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--pairs", type=int, default=12)
    options = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    with fresh_home() as home:
        import labelaudit

        source = None
        if options.data != "digits":
            source = first_images(Path(options.data), options.images, home)
        dataset = labelaudit.load_dataset("digits" if source is None else "photographs", source)
        count = len(dataset)
        result = measured(dataset, options.pairs)
        table = pd.DataFrame(per_image(n) for n in CLASSES)
    print(f"{count:,} images, the small net, {options.pairs} pairs of epochs\n")
    for name, value in result.items():
        if name != "epochs":
            print(f"{name:32} {value:.4f}")
    print("\n" + table.to_string(index=False))
    save(f"recorder-{dataset.name}-{count}", {**result, "classes": table.to_dict("records")})


class Loop:
    """A plain loop over images that are in memory."""

    def __init__(self, dataset) -> None:
        import torch

        from labelaudit import TorchImageDataset, TrainConfig
        from labelaudit.learn.models import build_model

        samples = TorchImageDataset(dataset, image_size=None if dataset.name != "digits" else 16)
        images, labels, ids = zip(*samples, strict=True)
        self.x = torch.from_numpy(np.stack([np.asarray(i) for i in images])).permute(0, 3, 1, 2)
        self.y, self.ids = torch.tensor(labels), torch.tensor(ids)
        torch.manual_seed(0)
        self.model = build_model(TrainConfig(), len(samples.classes))
        self.model.fit_input(self.x[:500])
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.02, momentum=0.9)

    def epoch(self, recorder=None) -> float:
        """One epoch; its CPU-seconds."""
        import torch

        self.model.train()
        started = time.process_time()
        for at in torch.randperm(len(self.x)).split(BATCH):
            logits = self.model(self.x[at])
            if recorder is not None:
                recorder.update(self.ids[at], logits)
            self.optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits, self.y[at]).backward()
            self.optimizer.step()
        if recorder is not None:
            recorder.end_epoch()
        return time.process_time() - started


def measured(dataset, pairs: int) -> dict:
    import labelaudit

    loop, recorder = Loop(dataset), labelaudit.Recorder(dataset, run="mine")
    loop.epoch()
    once = time.process_time()
    recorder.update(loop.ids[:1], np.zeros((1, len(dataset.classes))))
    recorder.end_epoch()  # begins the run
    beginning = time.process_time() - once
    epochs = []
    for i in range(pairs):
        taken = {}
        for recorded in (False, True) if i % 2 else (True, False):
            taken["with" if recorded else "without"] = loop.epoch(recorder if recorded else None)
        epochs.append(taken)
    once = time.process_time()
    recorder.finish()
    finishing = time.process_time() - once
    table = pd.DataFrame(epochs)
    return {
        "share": float((table["with"] / table["without"]).median() - 1),
        "share of all together": float(table["with"].sum() / table["without"].sum() - 1),
        "seconds an epoch without": float(table["without"].median()),
        "seconds an epoch with": float(table["with"].median()),
        "seconds once: begin": beginning,
        "seconds once: finish": finishing,
        "epochs": epochs,
    }


def per_image(classes: int) -> dict:
    """CPU-microseconds an image that a Recorder takes, by the number of classes; and an epoch's
    end, by sample."""
    import torch

    import labelaudit

    count = 20_000
    rows = {"filepath": [f"{i}.png" for i in range(count)],
            "label": [f"c{i % classes:04}" for i in range(count)]}  # fmt: skip
    from labelaudit.dataset.dataset import create_dataset

    recorder = labelaudit.Recorder(create_dataset(f"classes-{classes}", rows))
    logits = torch.randn(BATCH, classes, requires_grad=True)
    taken = {"classes": classes}
    for _ in range(2):  # the first epoch begins the run
        started = time.process_time()
        for at in np.split(recorder.ids, count // BATCH):
            recorder.update(at, logits)
        recorder._take_in()
        middle = time.process_time()
        recorder.end_epoch()
        taken["update, µs an image"] = round((middle - started) / count * 1e6, 2)
        taken["end_epoch, µs an image"] = round((time.process_time() - middle) / count * 1e6, 2)
    labelaudit.delete_dataset(f"classes-{classes}")
    return taken


if __name__ == "__main__":
    main()
