"""The whole walkthrough in the library: load, inject, train, predict, score, look, export."""

import labelaudit

# 1,797 handwritten digits; "cifar10" or your own folder work the same way:
# labelaudit.load_dataset("pets", "/data/pets")
dataset = labelaudit.load_dataset("digits")
print(dataset, dataset.info["splits"])

# To rehearse: make a fifth of the labels wrong. They get the tag `mistake`.
print(labelaudit.inject_noise(dataset, rate=0.2, seed=51))
mistakes = dataset.view().match_tag("mistake")
print(mistakes.head(1)[0])

# Train a small model while every sample is watched; then store predictions and scores.
run = labelaudit.train(dataset, config=labelaudit.TrainConfig(epochs=10))
print(f"validation accuracy {run.info['validation_accuracy']:.3f}")
labelaudit.predict(dataset)
labelaudit.compute_scores(dataset)

# The hardest samples, and those whose label is most likely wrong.
for sample in dataset.view().sort_by("hardness", reverse=True).limit(3):
    print(sample.id, sample.ground_truth, sample.prediction.label, sample.scores["hardness"])
for sample in dataset.view().match_tag("processed").sort_by("mistakenness", reverse=True).limit(3):
    print(sample.id, sample.ground_truth, sample.prediction.label, sample.tags)

# How good is each ranking?  Then correct the first suspect, and write the rest for others.
print(labelaudit.evaluate(dataset.view()).to_string())
suspects = labelaudit.suspects(dataset)
first = suspects.head(1)[0]
labelaudit.Review(dataset, "me").decide(first.id, "relabel", first.prediction.label)
labelaudit.apply_verdicts(dataset)  # labelaudit.return_to(dataset, 1) would take it back
print(labelaudit.write_suspects(suspects, "suspects.csv"), "suspects in suspects.csv")
