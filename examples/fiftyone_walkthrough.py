"""FiftyOne's walkthrough of finding label mistakes, step by step with LabelAudit.

docs/from-fiftyone.md shows each step beside FiftyOne's. It deletes all datasets, so it runs in a
home of its own.
"""

import os
import tempfile

os.environ["LABELAUDIT_HOME"] = tempfile.mkdtemp(prefix="labelaudit-walkthrough-")

import random

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

import labelaudit

# 1. Start with nothing, and load a dataset of the zoo with its splits train and test.
labelaudit.drop_all(confirm=True)
dataset = labelaudit.load_dataset("digits")
dataset = labelaudit.load_dataset("digits")  # the second call opens what is there
print(dataset, dataset.info["splits"])

# 2. Make the labels of a fifth of the training images wrong.
train = dataset.match(split="train")
dataset.add_field("label_mistake", "label")  # a second label field
rng = random.Random(51)
for sample in train.sample(len(train) // 5, seed=51).iter_samples(autosave=True):
    wrong = rng.choice([name for name in dataset.classes if name != sample.ground_truth])
    sample.tag("mistake")
    sample.label_mistake = wrong
    sample.ground_truth = wrong
print(train.match_tag("mistake").count_values("label_mistake"))


# 3. Train your own model on these labels, and save it.
def to_tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image.convert("L"), np.float32)).flatten() / 255


torch.manual_seed(51)
model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
images = labelaudit.TorchImageDataset(train, to_tensor)
for _ in range(8):
    for pixels, labels, _ids in DataLoader(images, batch_size=64, shuffle=True):
        loss = torch.nn.functional.cross_entropy(model(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
path = os.path.join(os.environ["LABELAUDIT_HOME"], "model.pt")
torch.save(model.state_dict(), path)

# 4. Add its predictions, with logits, and a tag to each sample.
model.load_state_dict(torch.load(path, weights_only=True))
loader = DataLoader(labelaudit.TorchImageDataset(dataset, to_tensor), batch_size=256)
with dataset.batch_edits(), torch.no_grad():
    for pixels, _labels, ids in loader:
        for sample_id, logits in zip(ids.tolist(), model(pixels), strict=True):
            sample = dataset[sample_id]
            sample.add_prediction(logits, run="my_model")
            sample.tag("processed")

# 5. Count what was processed, and the mistakes among it.
processed = dataset.view("my_model").match_tag("processed")
print(len(processed), "processed,", len(processed.match_tag("mistake")), "of them mistakes")

# 6. Compute hardness, mistakenness and all other scores of this view, and sort by them.
labelaudit.compute_scores(processed)
hardest = processed.sort_by("hardness", reverse=True)
for sample in hardest.limit(3):
    print(sample)
mistakes = processed.sort_by("mistakenness", reverse=True).limit(100)
print(len(mistakes.match_tag("mistake")), "mistakes among the first 100 by mistakenness")

# 7. Look at them in the app.
session = labelaudit.launch_app(dataset)
session.view = hardest
print(session)
if __name__ == "__main__":
    session.wait()  # select some images in the app, then press Ctrl-C here
    for sample in session.selected_view or ():
        print(sample)
    session.close()
