"""Measures what lesson 10 reads out of its record, and writes it anew: `python -m tools.record10`, ten minutes or more.

Run it after a change to what the lesson trains: models, data, settings. Numbers are stored to four decimals.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gclip_lessons.lessons import experiments10 as experiments


def main(place: Path = experiments.RECORD) -> None:
    """Measure everything and write the record to `place`."""
    began, limits = time.monotonic(), (*experiments.THRESHOLDS, np.inf)
    n_steps = experiments.ORDER_STEPS
    loss, accuracy = experiments.measure_overfitting(range(24))
    arrays = {
        "overfit_loss": loss,
        "overfit_accuracy": accuracy,
        "characters": _each("characters", lambda rate: experiments.measure_characters(range(10), rate, limits)),
        "order": _each("order", lambda rate: experiments.measure_order(range(50), rate, limits, n_steps)),
        "classes": _each("classes", lambda rate: experiments.measure_classes(range(20), rate, limits)),
    }
    np.savez_compressed(place, **{name: np.asarray(values, np.float32).round(4) for name, values in arrays.items()})
    print(f"{time.monotonic() - began:6.0f} s  {place}, {place.stat().st_size / 1000:.0f} kB")


def _each(name: str, measure: Callable[[float], np.ndarray]) -> np.ndarray:
    """What `measure` gives for each learning rate of a task."""
    print(f"{time.strftime('%H:%M:%S')}  {name}", flush=True)
    return np.stack([measure(rate) for rate in experiments.RATES[name]])


if __name__ == "__main__":
    main()
