"""A model that guesses on clean pictures: most often it was given other numbers than it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from flatnas.data.dataset import choose_images
from pipeline.audits.cache import Cache
from pipeline.audits.images import CLEAN, AuditImages, Ints
from pipeline.audits.predictions import Request, predict
from pipeline.audits.subject import Subject, normalised_range
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from export.run.runners import InputRange

RANGES: Mapping[str, InputRange] = {  # the usual ones, the simplest first
    "--input-range 0 255": (0.0, 255.0),
    "--input-range 0 1": (0.0, 1.0),
    "--input-range -1 1": (-1.0, 1.0),
    "--input-range -128 127": (-128.0, 127.0),
    "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225": normalised_range((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "--mean 0.4914,0.4822,0.4465 --std 0.247,0.2435,0.2616": normalised_range(
        (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
    ),
}
_PROBED_IMAGES = 200
_TIED = 0.05  # of two input ranges that are about as good, the simpler is named
_SHARE = 1 / 9  # of the way from chance to perfect: 20 % of 10 classes, 56 % of 2


def near_chance(accuracy: float, classes: int) -> bool:
    """Whether a model of so many classes may as well guess."""
    chance = 1 / classes
    return accuracy <= chance + _SHARE * (1 - chance)


def chance_warning(
    subject: Subject, accuracy: float, classes: int, images: AuditImages, indices: Ints, labels: Ints, store: Cache
) -> str:
    """What to tell of a model near chance: the input range under which it is not, where there is one.

    Args:
        indices: of the test pictures audited, with their labels.
    """
    told = f"({subject.path.name}) is near chance: {accuracy:.1%} on clean pictures of {classes} classes"
    some = choose_images(labels, _PROBED_IMAGES, 0)
    trials = {option: replace(subject, input_range=levels) for option, levels in RANGES.items()}
    requests = [Request(option, CLEAN, indices[some]) for option in trials]
    try:
        answers = predict(trials, images, requests, store, lambda *_: None, lambda *_: None)
    except PipelineError:
        return f"{told}; it may expect another input (--input-range, --mean and --std, --layout) or other data"
    scores = {option: float(np.mean(a["label"] == labels[some])) for option, a in zip(trials, answers, strict=True)}
    best = next(option for option, score in scores.items() if score >= max(scores.values()) - _TIED)
    if near_chance(scores[best], classes) or scores[best] < 1.5 * accuracy:
        return f"{told}, and no usual input range helps: is this the data it was made for? (--layout, --dataset)"
    return f"{told}; it probably expects {best}, which gives {scores[best]:.1%} on {len(some)} pictures"
