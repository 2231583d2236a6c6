"""A complete audit in Python: load, inject mistakes, train, predict, score, review, export."""

import labelaudit

# 1,797 handwritten digits. "cifar10" or your own folder work the same way:
# labelaudit.load_dataset("pets", "/data/pets")
dataset = labelaudit.load_dataset("digits")
print(dataset, dataset.info["splits"])

# Rehearsal: make a fifth of the labels wrong. The changed samples get the tag `mistake`.
print(labelaudit.inject_noise(dataset, rate=0.2, seed=51))
mistakes = dataset.view().match_tag("mistake")
print(mistakes.head(1)[0])

# Train a small model and record how every sample behaves, then store predictions and scores.
run = labelaudit.train(dataset, config=labelaudit.TrainConfig(epochs=10))
print(f"validation accuracy {run.info['validation_accuracy']:.3f}")
labelaudit.predict(dataset)
labelaudit.compute_scores(dataset)

# Print the hardest samples, then the most suspicious ones by mistakenness.
for sample in dataset.view().sort_by("hardness", reverse=True).limit(3):
    print(sample.id, sample.ground_truth, sample.prediction.label, sample.scores["hardness"])
for sample in dataset.view().match_tag("processed").sort_by("mistakenness", reverse=True).limit(3):
    print(sample.id, sample.ground_truth, sample.prediction.label, sample.tags)

# Evaluate each ranking, correct the first suspect, and write the remaining ones to CSV.
print(labelaudit.evaluate(dataset.view()).to_string())
suspects = labelaudit.suspects(dataset)
first = suspects.head(1)[0]
labelaudit.Review(dataset, "me").decide(first.id, "relabel", first.prediction.label)
labelaudit.apply_verdicts(dataset)  # labelaudit.return_to(dataset, 1) undoes this
print(labelaudit.write_suspects(suspects, "suspects.csv"), "suspects in suspects.csv")
