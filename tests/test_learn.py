from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import labelaudit
from labelaudit import TrainConfig, load_arrays, predict, train
from labelaudit.core.errors import LabelAuditError, StoppedError
from labelaudit.core.progress import QUIET, Task
from labelaudit.dataset.dataset import create_dataset
from labelaudit.features.device import choose_device
from labelaudit.features.image_batches import Images
from labelaudit.learn.config import BACKBONES, MODELS
from labelaudit.learn.epoch_measures import class_medians
from labelaudit.learn.forward import (
    EVALUATION_ROWS,
    Copy,
    augmented_copies,
    forward,
    forward_with_embeddings,
)
from labelaudit.learn.models import Backbone, build_model, load_pretrained
from labelaudit.learn.plan import image_size, make_plan
from labelaudit.learn.saved_models import load_model
from labelaudit.learn.thread_tuner import ThreadTuner

QUICK = TrainConfig(epochs=2, threads=1)


@pytest.fixture
def stripes(home):
    """80 images of two classes that are easy to distinguish, with unlabelled and test samples."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (80, 16, 16, 3), np.uint8)
    labels = np.arange(80) % 2
    images[labels == 1, :, ::2] += 180
    images[labels == 0, ::2] += 180
    labels[[3, 4]] = -1
    splits = ["train"] * 64 + ["test"] * 16
    return load_arrays("stripes", images, labels, classes=["flat", "tall"], splits=splits)


def test_training_learns_and_records_every_labelled_sample_every_epoch(stripes):
    seen = []
    config = TrainConfig(epochs=6, batch_size=16, threads=1)
    run = train(stripes, config=config, task=Task(seen.append))
    assert run.name == "run-1"
    info = run.info
    assert (info["learned"], info["held_out"], info["epochs"]) == (62, 16, 6)
    assert info["validation_accuracy"] == 1.0
    assert info["classes"] == ["flat", "tall"]
    recorded = run.dynamics(stripes.view().ids)
    margin, p_label = recorded.margin, recorded.p_label
    assert margin.shape == p_label.shape == (6, 80)
    unlabelled = np.isnan(margin).all(axis=0)
    assert np.flatnonzero(unlabelled).tolist() == [3, 4]
    assert np.isfinite(margin[:, ~unlabelled]).all()
    assert ((p_label[:, ~unlabelled] >= 0) & (p_label[:, ~unlabelled] <= 1)).all()
    last = seen[-1]
    assert (last.epoch, last.epochs, last.done) == (6, 6, last.total)
    assert len(last.curves) == 6
    assert last.accuracy == 1.0
    assert any(p.seconds_left and p.loss and p.step for p in seen)


def test_dynamics_are_those_of_the_model_that_is_kept(stripes):
    """The last epoch's margin and p(label) equal those of the saved model."""
    run = train(stripes, config=QUICK)
    predict(stripes, augment=False)
    recorded = run.dynamics(stripes.view().ids)
    margin, p_label = recorded.margin, recorded.p_label
    for sample in stripes.view().sample(10, seed=0):
        if sample.ground_truth is None:
            continue
        position = sample.id - 1
        z = sample.prediction.logits.astype(float)
        y = stripes.classes.index(sample.ground_truth)
        assert margin[-1, position] == pytest.approx(z[y] - z[1 - y], abs=1e-4)
        assert p_label[-1, position] == pytest.approx(math.exp(z[y]) / np.exp(z).sum(), abs=1e-5)


def test_the_same_seed_gives_the_same_run(stripes):
    first, second = train(stripes, config=QUICK), train(stripes, config=QUICK)
    assert_equal_dynamics(first, second, stripes)


def assert_equal_dynamics(first, second, dataset):
    a, b = (run.dynamics(dataset.view().ids) for run in (first, second))
    np.testing.assert_array_equal(a.margin, b.margin)


def test_which_samples_are_learned(digits):
    frame = digits.view().frame
    whole = make_plan(digits, QUICK)
    assert (len(whole.learned), len(whole.held_out)) == (1437, 360)
    codes, names = frame.split()
    held = codes[frame.positions(whole.ids[whole.held_out])]
    assert {names[code] for code in held} == {"test"}
    # a view is learned whole; test samples that are not in it serve for validation
    some = make_plan(digits.view().match(label=["1", "2"]), QUICK)
    chosen = digits.view().match(label=["1", "2"]).ids
    np.testing.assert_array_equal(some.ids[some.learned], chosen)
    assert not np.intersect1d(some.ids[some.held_out], chosen).size
    everything = make_plan(digits.view(), QUICK)  # no test sample is left: a tenth is held out
    assert (len(everything.learned), len(everything.held_out)) == (1617, 180)
    assert not np.intersect1d(everything.learned, everything.held_out).size


def test_labels_are_read_before_training_and_not_written(stripes):
    before = stripes.view().to_pandas()
    train(stripes, config=QUICK)
    assert stripes.view().to_pandas()[before.columns].equals(before)


@pytest.mark.parametrize(
    ("labels", "says"),
    [(["a"] * 6, "all of one class"), ([None] * 6, "nothing to learn")],
)
def test_too_little_to_learn_from(labels, says):
    images = np.zeros((len(labels), 8, 8), np.uint8)
    dataset = load_arrays("d", images, labels)
    with pytest.raises(LabelAuditError, match=says):
        train(dataset, config=QUICK)
    assert dataset.runs == []


def test_where_nothing_can_be_held_out_there_is_no_accuracy():
    dataset = load_arrays("d", np.zeros((2, 8, 8), np.uint8), ["a", "b"])
    result = labelaudit.audit(dataset, config=QUICK, first_look=False)
    assert result.validation_accuracy is None
    assert dataset.run().info["held_out"] == 0
    assert "Validation accuracy" not in str(result)


def test_tiny_datasets_and_batches_larger_than_them_work():
    images = np.random.default_rng(0).integers(0, 255, (5, 8, 8), np.uint8)
    dataset = load_arrays("d", images, ["a", "b", "a", "b", "a"])
    run = train(dataset, config=TrainConfig(epochs=2, batch_size=500))
    assert predict(dataset) == 5
    assert run.info["learned"] + run.info["held_out"] == 5


def test_a_loss_that_explodes_is_reported(stripes):
    with pytest.raises(LabelAuditError, match=r"the loss became .* lower learning rate"):
        train(stripes, config=TrainConfig(epochs=60, learning_rate=100, batch_size=16, threads=1))


def test_a_stop_ends_after_the_step_and_keeps_what_is_there(stripes):
    steps = []

    def stop() -> bool:
        return len(steps) >= 5

    def progress(report) -> None:
        if report.stage == "training" and report.step:
            steps.append((report.epoch, report.step))

    run = train(stripes, config=TrainConfig(epochs=50, batch_size=16), task=Task(progress, stop))
    info = run.info
    assert info["stopped"]
    assert info["epochs"] < 50
    load_model(stripes, run.name)
    if info["epochs"]:
        assert len(run.dynamics(stripes.view().ids).margin) == info["epochs"]
    with pytest.raises(StoppedError, match="none of its results were stored"):
        train(stripes, config=QUICK, task=Task(stop=lambda: True))


def test_a_stop_in_the_first_epoch_changes_nothing(stripes):
    train(stripes, "good", QUICK)
    predict(stripes)
    before = stripes.run("good").info
    asked = []
    with pytest.raises(StoppedError, match="before the first epoch ended"):
        train(stripes, "good", TrainConfig(batch_size=8),
              task=Task(stop=lambda: asked.append(1) or len(asked) > 2))  # fmt: skip
    assert stripes.run("good").info == before
    assert stripes.run("good").has_predictions()
    assert stripes.runs == ["good"]


def test_of_two_trainings_under_one_name_the_last_to_finish_counts(stripes):
    first, second = stripes.new_run("x"), stripes.new_run("x")
    logits = np.zeros((80, 2), np.float32)
    for run in (second, first):
        run.finish({"classes": stripes.classes})
        run.write_predictions([(stripes.view().ids, logits)])
    assert stripes.run("x").id == first.id
    assert stripes.run("x").has_predictions()
    with pytest.raises(LabelAuditError, match="was replaced"):
        second.write_predictions([(stripes.view().ids, logits)])
    assert stripes.new_run("x").id == 3  # never again the id of another


def test_a_run_can_be_trained_again_under_its_name(stripes):
    train(stripes, "mine", TrainConfig(epochs=3, threads=1))
    predict(stripes, "mine")
    labelaudit.compute_scores(stripes, "mine")
    run = train(stripes, "mine", QUICK)
    assert stripes.runs == ["mine"]
    assert len(run.dynamics(stripes.view().ids).margin) == 2
    assert not run.has_predictions()
    assert run.score_names() == []
    with pytest.raises(LabelAuditError, match="cannot be a run name"):
        train(stripes, "../mine", QUICK)


def test_a_saved_model_carries_its_preprocessing(stripes):
    train(stripes, config=QUICK)
    predict(stripes)
    model, info = load_model(stripes)
    pixels = np.stack([np.asarray(sample.image) for sample in stripes.view().head(6)])
    with torch.inference_mode():
        logits = model(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    stored = np.stack([s.prediction.logits for s in stripes.view().head(6)])
    # stored ones may have been computed in bfloat16, which keeps three digits
    np.testing.assert_allclose(logits.numpy(), stored, atol=0.1, rtol=0.05)
    assert info["image_size"] == 16
    weights = stripes.run("run-1").weights()
    assert not weights.startswith(b"\x80")  # no pickle
    assert b"PK" not in weights[:4]


def test_streaming_gives_what_memory_gives(stripes):
    held = train(stripes, config=TrainConfig(epochs=2, threads=1, batch_size=16))
    streamed = train(stripes, config=TrainConfig(epochs=2, threads=1, batch_size=16, memory_gb=0))
    assert_equal_dynamics(held, streamed, stripes)


def test_images_come_in_the_order_asked_for(stripes):
    frame = stripes.view().frame
    images = Images(frame, frame.ids, 16)
    order = np.array([70, 2, 41, 9, 3])
    for held in (False, True):
        if held:
            images.load(torch.device("cpu"), QUIET)
        got = list(images.batches(order, 2))
        assert [at.tolist() for at, _ in got] == [[70, 2], [41, 9], [3]]
        for at, batch in got:
            for place, pixels in zip(at, batch, strict=True):
                expected = np.asarray(stripes[int(place) + 1].image)
                np.testing.assert_array_equal(pixels.permute(1, 2, 0).numpy(), expected)


def test_image_size_follows_the_images(digits, tmp_path, picture):
    everything = digits.view().ids
    frame = digits.view().frame
    assert image_size(frame, everything, TrainConfig()) == 16  # 8 pixels are too few for the net
    assert image_size(frame, everything, TrainConfig(image_size=40)) == 40
    for i in range(4):
        picture(tmp_path / "big" / f"c{i % 2}" / f"{i}.png", size=(300, 200))
    big = labelaudit.load_dataset("big", tmp_path / "big").view().frame
    assert image_size(big, big.ids, TrainConfig()) == 64
    assert image_size(big, big.ids, TrainConfig(model="resnet18")) == 224
    rows = [{"filepath": str(tmp_path / f"big/c0/{i}.png"), "label": "x"} for i in (0, 2)]
    unknown = create_dataset("unknown", rows).view().frame
    assert image_size(unknown, unknown.ids, TrainConfig()) == 64  # opened to see


@pytest.mark.parametrize("name", MODELS)
def test_every_model_maps_images_to_logits(name):
    model = build_model(TrainConfig(model=name), 3).eval()
    images = torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        assert model(images).shape == (2, 3)


def test_a_backbone_trains_and_predicts(stripes):
    config = TrainConfig(model="mobilenet_v3_small", pretrained=False, epochs=1, image_size=32)
    train(stripes, config=config)
    assert predict(stripes) == 80


@pytest.fixture
def served_weights(file_server, tmp_path, monkeypatch):
    """Random resnet18 weights, served instead of torchvision's."""
    import hashlib

    from torchvision.models import ResNet18_Weights, get_model

    torch.manual_seed(1)
    state = get_model("resnet18", weights=None).state_dict()
    torch.save(state, file_server.folder / "w.pth")
    digest = hashlib.sha256((file_server.folder / "w.pth").read_bytes()).hexdigest()[:8]
    name = f"resnet18-{digest}.pth"
    (file_server.folder / "w.pth").rename(file_server.folder / name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(ResNet18_Weights.DEFAULT.value, "url", f"{file_server.url}/{name}")
    return state


def test_pretrained_weights_are_downloaded_once_and_used(served_weights, file_server):
    for _ in range(2):
        model = Backbone("resnet18", 3)
        assert load_pretrained(model, "resnet18") is None
        loaded = model.net.state_dict()
        torch.testing.assert_close(loaded["conv1.weight"], served_weights["conv1.weight"])
        assert loaded["fc.weight"].shape == (3, 512)  # the head stays ours
    assert len(file_server.requests) == 1


def test_without_pretrained_weights_it_says_so_and_continues(served_weights, file_server, stripes):
    file_server.close()
    run = train(stripes, config=TrainConfig(model="resnet18", epochs=1, image_size=32))
    assert "are not available" in run.info["notes"][0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": "resnet9000"}, "resnet9000"),
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 1}, "batch_size=1"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
        ({"image_size": 4}, "image_size=4"),
        ({"image_size": 8}, "small model takes 16 to 64"),
    ],
)
def test_bad_settings_are_reported(options, says):
    with pytest.raises(LabelAuditError, match=says):
        TrainConfig(**options)


def test_settings_survive_being_stored():
    config = TrainConfig(epochs=3, model=BACKBONES[0])
    assert TrainConfig.from_dict({**config.to_dict(), "from_the_future": 1}) == config


def test_devices():
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(LabelAuditError, match="'abacus' cannot be used"):
        choose_device("abacus")


def test_predict_covers_any_view_and_tags_it(stripes):
    train(stripes, config=QUICK)
    view = stripes.view().match(split="test")
    assert predict(view) == 16
    assert stripes.view().match_tag("processed").ids.tolist() == view.ids.tolist()
    values = stripes.view().values("prediction")
    assert all(v is None for v in values[:64])
    assert set(values[64:]) <= {"flat", "tall"}
    confidence = view.values("confidence")
    assert ((confidence >= 0.5) & (confidence <= 1)).all()
    assert predict(stripes) == 80
    assert len(stripes.view().match_tag("processed")) == 80


def test_a_stopped_prediction_keeps_what_was_there(stripes, monkeypatch):
    train(stripes, config=QUICK)
    with pytest.raises(StoppedError):
        predict(stripes, task=Task(stop=lambda: True))
    assert not stripes.run("run-1").has_predictions()
    with pytest.raises(LabelAuditError, match="no run 'other'"):
        predict(stripes, "other")


def test_logits_that_are_not_finite_are_refused(stripes):
    run = stripes.new_run().finish({"classes": stripes.classes})
    logits = np.zeros((80, 2), np.float32)
    logits[41] = np.nan
    with pytest.raises(LabelAuditError, match="sample 42 are not finite"):
        run.write_predictions([(stripes.view().ids, logits)])
    assert not run.has_predictions()
    with pytest.raises(LabelAuditError, match=r"\(80, 3\).*must be \(80, 2\)"):
        run.write_predictions([(stripes.view().ids, np.zeros((80, 3), np.float32))])


def test_threads_are_chosen_by_measuring(monkeypatch):
    used = []
    monkeypatch.setattr("torch.set_num_threads", used.append)
    monkeypatch.setattr("labelaudit.learn.thread_tuner.available_cores", lambda: 4)
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    for slow in (1, 4):
        tuner = ThreadTuner(None)
        for _ in range(6):
            tuner.begin_step()
            clock[0] += 10.0 if used[-1] == slow else 1.0
            tuner.end_step()
        assert used[-1] == 5 - slow
    assert ThreadTuner(3).candidates == [3]


def test_evaluation_does_not_depend_on_the_batch(stripes):
    """Training's batch statistics are used, so a sample's logits do not depend on its batch."""
    train(stripes, config=QUICK)
    model, _ = load_model(stripes)
    images = Images(stripes.view().frame, stripes.view().ids, 16)
    cpu = torch.device("cpu")
    whole = np.concatenate([logits for _, logits in forward(model, images, np.arange(80), cpu)])
    for place in (0, 50, 79):
        ((_, alone),) = forward(model, images, np.array([place]), cpu)
        np.testing.assert_allclose(alone[0], whole[place], atol=0.05, rtol=0.02)


def test_every_batch_is_computed_in_the_same_number_format(stripes):
    """A generator that yields within autocast loses it: its second batch was float32."""
    train(stripes, config=QUICK)
    model, _ = load_model(stripes)
    images = Images(stripes.view().frame, stripes.view().ids, 16)
    same = np.zeros(2 * EVALUATION_ROWS, int)  # one image, over two batches
    first, second = (z for _, z in forward(model, images, same, torch.device("cpu")))
    np.testing.assert_array_equal(first, second)


def test_copies_are_shifted_and_mirrored():
    image = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4)
    assert torch.equal(Copy().of(image), image)
    assert torch.equal(Copy(mirrored=True).of(image), image.flip(3))
    moved = Copy(1, 2).of(image)[0, 0]
    assert moved[1:, 2:].tolist() == image[0, 0, :-1, :-2].tolist()
    assert moved[0, 2:].tolist() == image[0, 0, 1, :-2].tolist()  # reflected
    assert torch.equal(Copy(-1, 0).of(image)[0, 0, :-1], image[0, 0, 1:].float())
    assert len(augmented_copies(2, True)) == 6
    assert augmented_copies(0, False) == [Copy()]


def test_predictions_are_means_over_copies_by_default(stripes):
    run = train(stripes, config=QUICK)
    model, info = load_model(stripes)
    assert (info["shift"], info["mirror"]) == (1, True)
    ids = stripes.view().ids
    images = Images(stripes.view().frame, ids, 16)

    def expected(copies):
        logits = forward(model, images, np.arange(80), torch.device("cpu"), copies)
        return np.concatenate([z for _, z in logits])

    for augment, copies in ((True, augmented_copies(1, True)), (False, [Copy()])):
        predict(stripes, augment=augment)
        stored = np.concatenate([z for _, z in run.logits()])
        np.testing.assert_array_equal(stored, expected(copies))
    one_by_one = [expected([copy]) for copy in augmented_copies(1, True)]
    both = expected(augmented_copies(1, True))
    np.testing.assert_allclose(both, np.mean(one_by_one, axis=0), rtol=1e-5, atol=1e-5)


def test_a_dataset_that_has_only_a_test_split_holds_some_of_it_out(stripes):
    pixels = [sample.image for sample in stripes.view()]
    labels = [sample.ground_truth for sample in stripes.view()]
    dataset = load_arrays("only", pixels, labels, splits=["test"] * 80)
    info = train(dataset, config=QUICK).info
    assert (info["learned"], info["held_out"]) == (70, 8)  # two have no label


def test_samples_added_while_a_model_learns_do_not_mix_up_ids(stripes):
    added = []

    def add(progress) -> None:
        if progress.epoch == 1 and progress.step and not added:
            rows = [{"image": np.zeros((16, 16, 3), np.uint8), "label": "new", "id": 1000}]
            added.extend(stripes.add_samples(rows))

    run = train(stripes, config=QUICK, task=Task(add))
    assert added == [1000]
    recorded = run.dynamics(stripes.view().ids)
    assert np.isnan(recorded.margin[:, -1]).all()
    assert np.isfinite(recorded.margin[:, 5:-1]).all()
    assert run.info["classes"] == ["flat", "tall"]  # those that it learned
    assert predict(stripes) == 81


@pytest.mark.parametrize("name", MODELS)
def test_every_model_gives_embeddings(name, stripes):
    model = build_model(TrainConfig(model=name), 3).eval()
    images = Images(stripes.view().frame, stripes.view().ids, 32)
    cpu, some = torch.device("cpu"), np.array([3, 70])
    ((at, logits, vectors),) = forward_with_embeddings(model, images, some, cpu)
    assert at.tolist() == [3, 70]
    last = [m for m in model.modules() if isinstance(m, torch.nn.Linear)][-1]
    assert vectors.shape == (2, last.in_features)
    if name == "small":
        assert vectors.shape[1] == 96
    ((_, plain),) = forward(model, images, some, cpu)
    np.testing.assert_array_equal(logits, plain)  # looking changes nothing
    again = last(torch.from_numpy(vectors)).detach().numpy() * (0.25 if name == "small" else 1)
    np.testing.assert_allclose(again, logits, atol=0.05, rtol=0.05)
    assert not last._forward_pre_hooks


def test_stored_embeddings_are_means_over_copies(stripes):
    run = train(stripes, config=QUICK)
    predict(stripes)
    model, _ = load_model(stripes)
    images = Images(stripes.view().frame, stripes.view().ids, 16)

    def vectors(copies):
        every = forward_with_embeddings(
            model, images, np.arange(80), torch.device("cpu"), copies
        )  # fmt: skip
        return np.concatenate([v for _, _, v in every])

    copies = augmented_copies(1, True)
    mean = np.mean([vectors([copy]) for copy in copies], axis=0)
    np.testing.assert_allclose(run.embeddings(stripes.view().ids), mean, rtol=2e-3, atol=1e-3)
    predict(stripes, augment=False)
    plain = vectors([Copy()]).astype(np.float16)
    np.testing.assert_array_equal(run.embeddings(stripes.view().ids), plain)
    near, cosine = run.neighbours([1], 10)
    assert (near[0] % 2 == 1).all()  # stripes of its own kind: ids and labels alternate
    assert cosine[0, 0] > 0.5


def test_class_medians():
    labels = np.array([2, 0, 0, 2, 2, 0, 0])
    p = np.array([0.9, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7], np.float32)
    assert class_medians(p, labels, 4) == [0.4, None, 0.4, None]


def test_class_curves_are_no_part_of_what_is_reported(stripes):
    seen = []
    run = train(stripes, config=QUICK, task=Task(seen.append))
    assert set(seen[-1].curves[0]) == set(run.info["curves"][0]) == {
        "epoch", "loss", "train_accuracy", "validation_accuracy", "seconds",
    }  # fmt: skip
    assert run.class_curves().shape == (2, 2)


def test_what_is_held_out_is_not_what_noise_of_the_same_seed_made_wrong(make_dataset):
    dataset = make_dataset(3000)
    labelaudit.inject_noise(dataset, 0.1, seed=0)
    plan = make_plan(dataset, labelaudit.TrainConfig(seed=0, hold_out=0.1))
    wrong = dataset.view().match_tag("mistake").ids
    assert 0.05 < np.isin(plan.ids[plan.held_out], wrong).mean() < 0.15


def test_duplicates_are_held_out_together_or_not_at_all(home):
    images = np.random.default_rng(0).integers(0, 255, (40, 16, 16, 3), np.uint8)
    images[20:] = images[:20]  # each is there twice
    twice = load_arrays("twice", images, np.arange(40) % 2, classes=["a", "b"])
    labelaudit.find_duplicates(twice)
    plan = make_plan(twice, labelaudit.TrainConfig(hold_out=0.2))
    assert len(plan.held_out) == 8  # a fifth of 20 pictures
    assert set(plan.held_out % 20) & set(plan.learned % 20) == set()


@pytest.mark.parametrize("seed", range(4))
def test_of_every_class_something_is_learned_however_rare_it_is(make_dataset, seed):
    labels = ["common"] * 12 + ["rare", "rarer", "rarest", "rarest"]
    dataset = make_dataset(16, label=labels)
    plan = make_plan(dataset, labelaudit.TrainConfig(seed=seed, hold_out=0.5))
    assert set(plan.labels[plan.learned]) == {0, 1, 2, 3}
    assert plan.classes_missing_in(plan.learned) == []


def test_what_no_model_has_learned_is_not_held_against_a_sample(home):
    """A class that only the test split has."""
    images = np.random.default_rng(0).integers(0, 60, (40, 16, 16, 3), np.uint8)
    images[1::2, :, ::2] += 180
    labels, splits = np.arange(40) % 2, ["train"] * 30 + ["test"] * 10
    labels[39] = 2
    names = ["flat", "tall", "new", "never"]
    dataset = load_arrays("stripes", images, labels, classes=names, splits=splits)
    run = train(dataset, config=QUICK)
    assert run.info["untaught"] == ["new", "never"]
    assert run.info["notes"] == [
        "no sample of class 'new' was learned, so samples with this label get no score"
    ]
    labelaudit.predict(dataset)
    for name in labelaudit.compute_scores(dataset):
        values = dataset.view().values(name)
        assert np.isfinite(values[:39]).all(), name
        assert np.isnan(values[39]) == (name not in ("hardness", "neighbours", "outlier")), name
    dataset.set_labels([dataset.view().ids[0]], "never")  # since it learned
    labelaudit.compute_scores(dataset)
    values = dataset.view().values("self_confidence")
    assert np.isnan(values[[0, 39]]).all()
    assert np.isfinite(values[1:39]).all()
