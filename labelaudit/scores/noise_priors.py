"""Parameters of the noise model as one vector, with their priors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .noise_model import FLOOR, NoiseModel, sigmoid

# Priors, as mean and standard deviation (of the logarithm for sharpness and floor). Their centre is
# "errors are rare, and equally likely for all classes and images".
USUAL_SHARPNESS, SD_SHARPNESS = 1.2, 0.5  # of all sources together, out of sample
# Predictions that were cross-fitted to labels with errors are flatter than the truth: without other
# evidence, labels spread over all classes are errors and not doubt.
USUAL_SHARPNESS_CALIBRATED = 2.0
IN_SAMPLE_SHARPNESS = 1.5  # of a source that learned these labels: not fitted
USUAL_RATE, SD_RATE = -3.0, 1.0  # of the errors of all classes, as a logit
# With ambiguity = likeness = 1, errors could not be told from honest doubt: a label would be drawn
# from the predictions.
SD_AMBIGUITY, SD_LIKENESS = 0.08, 0.2
# Cross-fitted predictions are calibrated to the given labels, so that their doubt is honest.
SD_AMBIGUITY_CALIBRATED, SD_LIKENESS_CALIBRATED = 0.02, 0.05
SD_BIAS, SD_FLOOR = 0.3, 1.0
CLASS_SCALE = 0.22  # of Student's t, for rate and target of each class
FREEDOM = 4.0  # of Student's t: a few classes or pairs may stand out
START_RATE = -2.0
SHARP_START = 0.7  # added to the logarithm of the usual sharpness
# Of these, the inverse hyperbolic tangent is fitted. Beyond 1, errors would always be the second
# most probable class: an explanation of any pair of classes that are often confused.
BOUNDED = ("ambiguity", "likeness")


class Parameters:
    """Where each parameter lies in the vector, where it starts, and its prior.

    classes: C. out_of_sample: for each of the K sources. has_table: whether there is a table of
    class pairs; `table_scale` is the scale of its prior. calibrated: whether a source was fitted
    to these labels by cross-fitting. width: D, by default C; the sources know further classes.
    """

    def __init__(
        self,
        classes: int,
        out_of_sample: Sequence[bool],
        has_table: bool,
        calibrated: bool = False,
        width: int | None = None,
    ) -> None:
        self.classes, self.width = classes, classes if width is None else width
        self.out_of_sample = np.array(out_of_sample, bool)
        self._ambiguity = SD_AMBIGUITY_CALIBRATED if calibrated else SD_AMBIGUITY
        self._likeness = SD_LIKENESS_CALIBRATED if calibrated else SD_LIKENESS
        self.has_table, self.table_scale = has_table, 1.0
        sources = len(self.out_of_sample)
        usual = USUAL_SHARPNESS_CALIBRATED if calibrated else USUAL_SHARPNESS
        self._log_sharpness = np.log(usual / sources)
        self._shapes: dict[str, tuple[int, ...]] = {
            "sharpness": (int(self.out_of_sample.sum()),),
            "overall": (),
            "ambiguity": (),
            "likeness": (),
            "floor": (),
            "bias": (classes,),
            "rate": (classes,),
            "target": (classes,),
        }
        if has_table:
            self._shapes["pair"] = (classes, classes)
        ends = np.cumsum([int(np.prod(shape)) for shape in self._shapes.values()])
        starts = [0, *ends[:-1]]
        self.at = dict(zip(self._shapes, map(slice, starts, ends), strict=True))

    def start(self, changes: Mapping[str, float] | None = None) -> np.ndarray:
        """Return the vector to start from. changes: added to the usual start of a parameter."""
        x = np.zeros(max(place.stop for place in self.at.values()))
        x[self.at["overall"]] = START_RATE
        x[self.at["floor"]] = np.log(FLOOR)
        x[self.at["sharpness"]] = self._log_sharpness
        for name, change in (changes or {}).items():
            x[self.at[name]] += change
        return x

    def start_from(self, rates: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return a start with these rates, logits (C,), and targets (C,), and sharp predictions."""
        x = self.start({"sharpness": SHARP_START})
        x[self.at["overall"]] = overall = np.median(rates)
        x[self.at["rate"]], x[self.at["target"]] = rates - overall, targets
        return x

    def extended(self, other: Parameters, x: np.ndarray) -> np.ndarray:
        """Return a start that has all parameters of another layout's vector.

        The error rate is at least the usual start: without errors, a table has no effect.
        """
        start = self.start()
        parts = self.split(start)
        for name, values in other.split(x).items():
            parts[name][...] = values
        parts["overall"][...] = max(float(parts["overall"]), START_RATE)
        return start

    def split(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return views of the vector by parameter."""
        return {name: x[self.at[name]].reshape(shape) for name, shape in self._shapes.items()}

    def bounded(self, parts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the values, -1 to 1, of the parameters whose inverse tangent is fitted."""
        return {name: np.tanh(parts[name]) for name in BOUNDED}

    def sharpness(self, parts: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the sharpness of each source, (K,)."""
        count = len(self.out_of_sample)
        values = np.full(count, IN_SAMPLE_SHARPNESS / count)
        values[self.out_of_sample] = np.exp(parts["sharpness"])
        return values

    def penalty(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Return minus the logarithm of the priors, and its gradient."""
        total, slope = 0.0, np.zeros_like(x)
        normal = {
            "sharpness": (self._log_sharpness, SD_SHARPNESS),
            "overall": (USUAL_RATE, SD_RATE),
            "ambiguity": (0.0, self._ambiguity),
            "likeness": (0.0, self._likeness),
            "floor": (np.log(FLOOR), SD_FLOOR),
            "bias": (0.0, SD_BIAS),
        }
        for name, (mean, deviation) in normal.items():
            off = x[self.at[name]] - mean
            total += float(off @ off) / (2 * deviation**2)
            slope[self.at[name]] = off / deviation**2
        scales = {"rate": CLASS_SCALE, "target": CLASS_SCALE}
        if self.has_table:
            scales["pair"] = self.table_scale
        for name, scale in scales.items():
            values, width = x[self.at[name]], FREEDOM * scale**2
            total += (FREEDOM + 1) / 2 * float(np.log1p(values * values / width).sum())
            slope[self.at[name]] = (FREEDOM + 1) * values / (width + values * values)
        return total, slope

    def model(self, x: np.ndarray, scale: Sequence[float]) -> NoiseModel:
        """Return the model of these parameters. scale: of each source's logits before the fit."""
        parts = self.split(x)
        parts |= self.bounded(parts)

        def plain(values):
            return np.round(values, 6).tolist()

        sharpness = self.sharpness(parts) * np.array(scale)
        return NoiseModel(
            [float(f"{value:.6g}") for value in sharpness],
            plain(parts["ambiguity"]),
            plain(parts["likeness"]),
            # labels say nothing about classes that the dataset lacks
            plain(np.append(parts["bias"], np.zeros(self.width - self.classes))),
            plain(parts["overall"] + parts["rate"]),
            plain(parts["target"]),
            plain(parts["pair"]) if self.has_table else None,
            float(sigmoid(parts["floor"])),
        )
