"""Corruptions: bytes of the published files, an independent oracle per image, exact distributions of the noise."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage, stats

from flatnas.corruptions import CORRUPTIONS, SEVERITIES, STANDARD_15, corrupt, severity_table
from flatnas.corruptions.hsv import Hsv, hsv_to_rgb, rgb_to_hsv

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
NOISES = ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise")

PUBLISHED_MD5 = {
    "pixelate": "0f14f7e2db14288304e1de10df16832f",
    "contrast": "3c8262171c51307f916c30a3308235a8",
    "gaussian_blur": "c33370155bc9b055fb4a89113d3c559d",
    "defocus_blur": "7d1322666342a0702b1957e92f6254bc",
    "saturate": "1cfae0964219c5102abbb883e538cc56",
    "brightness": "0a81ef75e0b523c3383219c330a85d48",
    "zoom_blur": "6ea8e63f1c5cdee1517533840641641b",
    "jpeg_compression": "2b9cc4c864e0193bb64db8d7728f8187",
}
"""MD5s of the files of Zenodo record 2535967 (CIFAR-10-C)."""

FIRST_100_MD5 = {
    "pixelate": "e5321d099031c4a93eb15fbb96d7a09b",
    "contrast": "2984149ab0c5f38f1f16e78ff8291a7b",
    "gaussian_blur": "6fdde51567fd80ca385590d6965791dd",
    "defocus_blur": "5dfef42c25fae7ce3a2c4fc647daffe5",
    "saturate": "305f6f496cecfaa2ac19914652420447",
    "brightness": "9d1d94772a03ba0d7646dec00a9899c8",
    "zoom_blur": "26a90e543ef850f9ee9d63c4777e7bb9",
    "jpeg_compression": "97abd6b8b926a645a2aba97cbf4b018e",
}
"""MD5s of the first 100 pictures of each severity, taken from files whose MD5s were the published ones."""


# The table


def test_the_table_is_in_the_standard_order_with_the_extras_last() -> None:
    order = [name for name in STANDARD_15 if name in CORRUPTIONS]
    extras = [name for name in ("speckle_noise", "gaussian_blur", "spatter", "saturate") if name in CORRUPTIONS]
    assert list(CORRUPTIONS) == order + extras
    assert [c.name for c in CORRUPTIONS.values() if c.standard] == order


def test_the_fifteen_are_those_of_the_paper() -> None:
    noise = "gaussian_noise shot_noise impulse_noise"
    blur = "defocus_blur glass_blur motion_blur zoom_blur"
    weather = "snow frost fog brightness"
    digital = "contrast elastic_transform pixelate jpeg_compression"
    assert " ".join(STANDARD_15) == f"{noise} {blur} {weather} {digital}"


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_row_knows_its_name_and_whether_it_draws_numbers(name: str) -> None:
    images = _tiles(32)[:4]
    same = np.array_equal(corrupt(images, name, 3, range(4), seed=0), corrupt(images, name, 3, range(4), seed=1))
    assert CORRUPTIONS[name].name == name
    assert CORRUPTIONS[name].seeded is not same


# Bytes


@pytest.mark.parametrize("name", PUBLISHED_MD5)
def test_a_hundred_images_give_the_bytes_of_the_published_file(name: str, cifar10_test_images: Pixels) -> None:
    blocks = [corrupt(cifar10_test_images[:100], name, severity, range(100)) for severity in SEVERITIES]
    assert hashlib.md5(np.concatenate(blocks).tobytes()).hexdigest() == FIRST_100_MD5[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED_MD5)
def test_ten_thousand_images_give_the_published_file(name: str, cifar10_test_images: Pixels) -> None:
    blocks = [corrupt(cifar10_test_images, name, severity, range(10_000)) for severity in SEVERITIES]
    file = io.BytesIO()
    np.save(file, np.concatenate(blocks))
    assert hashlib.md5(file.getvalue()).hexdigest() == PUBLISHED_MD5[name]


@pytest.fixture(scope="module")
def cifar10_test_images() -> Pixels:
    if "PIPELINE_SHARED" not in os.environ:
        pytest.skip("PIPELINE_SHARED is unset")
    with tarfile.open(Path(os.environ["PIPELINE_SHARED"]) / "data/cifar-10-binary.tar.xz") as archive:
        member = next(member for member in archive if member.name.endswith("test_batch.bin"))
        file = archive.extractfile(member)
        assert file is not None
        records = np.frombuffer(file.read(), np.uint8).reshape(10_000, 1 + 3 * 32 * 32)
    return np.ascontiguousarray(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _pixelate(x: Pixels, scale: float) -> Pixels:
    from PIL import Image

    side = x.shape[0]
    small = Image.fromarray(x).resize((int(side * scale), int(side * scale)), Image.Resampling.BOX)
    return np.asarray(small.resize((side, side), Image.Resampling.BOX))


def _contrast(x: Pixels, kept: float) -> Floats:
    means = np.mean(x / 255.0, axis=(0, 1), keepdims=True)
    values: Floats = np.clip((x / 255.0 - means) * kept + means, 0, 1) * 255
    return values


def _gaussian_blur(x: Pixels, sigma: float) -> Floats:
    from skimage.filters import gaussian

    values: Floats = np.clip(gaussian(x / 255.0, sigma=sigma, channel_axis=-1), 0, 1) * 255
    return values


def _defocus_blur(x: Pixels, radius_and_alias: tuple[float, float]) -> Floats:
    import cv2

    radius, alias = radius_and_alias
    grid, taps = (np.arange(-8, 9), 3) if radius <= 8 else (np.arange(-radius, radius + 1), 5)
    disk = np.array((grid**2 + grid[:, None] ** 2) <= radius**2, dtype=np.float32)
    disk /= np.sum(disk)
    kernel = cv2.GaussianBlur(disk, ksize=(taps, taps), sigmaX=alias)
    channels = [cv2.filter2D(x[:, :, channel] / 255.0, -1, kernel) for channel in range(3)]
    values: Floats = np.clip(np.array(channels).transpose(1, 2, 0), 0, 1) * 255
    return values


def _brightness(x: Pixels, added: float) -> Floats:
    from skimage.color import hsv2rgb, rgb2hsv

    hsv = rgb2hsv(x / 255.0)
    hsv[:, :, 2] = np.clip(hsv[:, :, 2] + added, 0, 1)
    values: Floats = np.clip(hsv2rgb(hsv), 0, 1) * 255
    return values


def _saturate(x: Pixels, times_and_plus: tuple[float, float]) -> Floats:
    from skimage.color import hsv2rgb, rgb2hsv

    hsv = rgb2hsv(x / 255.0)
    hsv[:, :, 1] = np.clip(hsv[:, :, 1] * times_and_plus[0] + times_and_plus[1], 0, 1)
    values: Floats = np.clip(hsv2rgb(hsv), 0, 1) * 255
    return values


def _zoom_blur(x: Pixels, stop_and_step: tuple[float, float]) -> npt.NDArray[Any]:
    image = (x / 255.0).astype(np.float32)
    side = len(image)
    total = np.zeros_like(image)
    factors = np.arange(1, *stop_and_step)
    for factor in factors:
        crop = int(np.ceil(side / factor))
        top = (side - crop) // 2
        larger = ndimage.zoom(image[top : top + crop, top : top + crop], (factor, factor, 1), order=1)
        trim = (len(larger) - side) // 2
        total += larger[trim : trim + side, trim : trim + side]
    values: npt.NDArray[Any] = np.clip((image + total) / (len(factors) + 1), 0, 1) * 255
    return values


Five = tuple[Any, ...]
ORACLES: dict[str, tuple[Callable[..., npt.NDArray[np.generic]], Five, Five, Five]] = {
    "pixelate": (
        _pixelate,
        (0.95, 0.9, 0.85, 0.75, 0.65),
        (0.9, 0.8, 0.7, 0.6, 0.5),
        (0.6, 0.5, 0.4, 0.3, 0.25),
    ),
    "contrast": (_contrast, (0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05), (0.4, 0.3, 0.2, 0.1, 0.05)),
    "gaussian_blur": (_gaussian_blur, (0.4, 0.6, 0.7, 0.8, 1), (0.5, 0.75, 1, 1.25, 1.5), (1, 2, 3, 4, 6)),
    "defocus_blur": (
        _defocus_blur,
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)),
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    ),
    "brightness": (_brightness, (0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5), (0.1, 0.2, 0.3, 0.4, 0.5)),
    "saturate": (
        _saturate,
        ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
        ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (30, 0.2)),
        ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    ),
    "zoom_blur": (
        _zoom_blur,
        ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    ),
}
"""One image at a time, as the paper's three scripts do it, with their libraries and parameters: for 32, 64, 224 px."""


def _tiles(side: int) -> Pixels:
    """A photograph cut into squares, then every grey, then noise: flat and saturated areas are where rounding shows."""
    from skimage.data import astronaut

    whole = 512 // side * side
    photo = astronaut()[:whole, :whole].reshape(whole // side, side, whole // side, side, 3)
    tiles = photo.transpose(0, 2, 1, 3, 4).reshape(-1, side, side, 3)[:256]
    greys = np.broadcast_to(np.arange(0, 256, 5, dtype=np.uint8)[:, None, None, None], (52, side, side, 3))
    noise = np.random.default_rng(7).integers(0, 256, (8, side, side, 3), dtype=np.uint8)
    return np.concatenate([tiles, greys, noise])


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", ORACLES)
def test_every_byte_equals_the_published_definition_applied_image_by_image(name: str, severity: int) -> None:
    oracle, parameters, *_ = ORACLES[name]
    images = _tiles(32)
    expected = np.array([oracle(image, parameters[severity - 1]) for image in images]).astype(np.uint8)
    np.testing.assert_array_equal(corrupt(images, name, severity, range(len(images))), expected)


@pytest.mark.parametrize(("side", "table"), [(8, 0), (17, 0), (48, 0), (49, 1), (96, 1), (119, 1), (120, 2), (130, 2)])
@pytest.mark.parametrize("name", ORACLES)
def test_other_sizes_follow_the_definition_of_their_table(name: str, side: int, table: int) -> None:
    oracle, *tables = ORACLES[name]
    images = _tiles(side)[-(68 if side < 20 else 6) :]
    expected = np.array([oracle(image, tables[table][4]) for image in images]).astype(np.uint8)
    np.testing.assert_array_equal(corrupt(images, name, 5, range(len(images))), expected)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize(("side", "table"), [(64, 1), (224, 2)])
@pytest.mark.parametrize("name", ORACLES)
def test_every_byte_equals_the_published_definition_for_larger_pictures(
    name: str, side: int, table: int, severity: int
) -> None:
    oracle, *tables = ORACLES[name]
    images = _tiles(side)[:3]
    expected = np.array([oracle(image, tables[table][severity - 1]) for image in images]).astype(np.uint8)
    np.testing.assert_array_equal(corrupt(images, name, severity, range(3)), expected)


def test_the_shorter_side_decides_the_table_and_a_table_can_be_asked_for() -> None:
    assert [severity_table(side) for side in (8, 32, 48)] == ["cifar10-c"] * 3
    assert [severity_table(side) for side in (49, 64, 96, 119)] == ["tiny-imagenet-c"] * 4
    assert [severity_table(side) for side in (120, 224, 1000)] == ["imagenet-c"] * 3
    wide = _tiles(128)[:1, :40]
    for name in CORRUPTIONS:
        by_size = corrupt(wide, name, 3, [0])
        assert np.array_equal(by_size, corrupt(wide, name, 3, [0], table="cifar10-c"))
        assert not np.array_equal(by_size, corrupt(wide, name, 3, [0], table="imagenet-c"))
    with pytest.raises(ValueError, match="table must be one of cifar10-c, tiny-imagenet-c, imagenet-c; got 'cifar'"):
        corrupt(wide, "fog", 3, [0], table="cifar")  # type: ignore[arg-type]


NOISE_PARAMETERS = {
    64: {
        "gaussian_noise": (0.04, 0.08, 0.12, 0.15, 0.18),
        "shot_noise": (250, 100, 50, 30, 15),
        "impulse_noise": (0.01, 0.02, 0.05, 0.08, 0.14),
        "speckle_noise": (0.15, 0.2, 0.25, 0.3, 0.35),
    },
    224: {
        "gaussian_noise": (0.08, 0.12, 0.18, 0.26, 0.38),
        "shot_noise": (60, 25, 12, 5, 3),
        "impulse_noise": (0.03, 0.06, 0.09, 0.17, 0.27),
        "speckle_noise": (0.15, 0.2, 0.35, 0.45, 0.6),
    },
}


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("side", [64, 224])
@pytest.mark.parametrize("name", NOISES)
def test_noise_of_larger_pictures_has_the_published_spread(name: str, side: int, severity: int) -> None:
    """On mid-grey and dark grey, where hardly anything is cut off at 0 or 255."""
    value, c = (64 if name == "shot_noise" else 128), NOISE_PARAMETERS[side][name][severity - 1]
    drawn = corrupt(np.full((4, side, side, 3), value, np.uint8), name, severity, range(4)) / 255.0
    x = value / 255
    if name == "impulse_noise":
        assert abs((drawn != x).mean() - c) < 5 * np.sqrt(c / drawn.size)
        return
    sigma = {"gaussian_noise": c, "shot_noise": np.sqrt(x / c), "speckle_noise": x * c}[name]
    lower, upper = np.quantile(drawn, [0.1587, 0.5])  # one standard deviation below the median, and the median
    step = 1 / c if name == "shot_noise" else 0  # a count of photons is a whole number
    assert upper - lower == pytest.approx(sigma, rel=0.04, abs=step + 1 / 255)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_height_and_width_are_not_confused(name: str) -> None:
    """A picture lying on its side gives the corrupted picture lying on its side; noise keeps its statistics instead."""
    image = _tiles(32)[100:101, :, :19]
    tall = corrupt(image, name, 4, [0])
    wide = corrupt(np.ascontiguousarray(image.transpose(0, 2, 1, 3)), name, 4, [0]).transpose(0, 2, 1, 3)
    assert tall.shape == (1, 32, 19, 3)
    if not CORRUPTIONS[name].seeded and name != "jpeg_compression":  # its transform rounds rows, then columns
        # The order of summation changes with the axes, so that truncation may fall one lower or higher.
        assert np.abs(tall.astype(int) - wide).max() <= 1


def test_contrast_keeps_a_share_of_the_distance_to_the_mean_and_truncates() -> None:
    image = np.zeros((1, 8, 8, 3), np.uint8)
    image[:, :4] = 255
    # Mean 0.5; kept 0.75: 0.125 * 255 = 31.875 and 0.875 * 255 = 223.125.
    corrupted = corrupt(image, "contrast", 1, [0])
    assert np.unique(corrupted[:, 4:]) == [31]
    assert np.unique(corrupted[:, :4]) == [223]


def test_saturate_moves_the_lower_channels_towards_the_highest() -> None:
    image = np.full((1, 8, 8, 3), (200, 101, 101), np.uint8)
    # Saturation 99 / 200 = 0.495 becomes 0.3 * 0.495 = 0.1485, so the lower channels are 200 * 0.8515 = 170.3.
    assert corrupt(image, "saturate", 1, [0])[0, 0, 0].tolist() == [200, 170, 170]


def test_pixelate_leaves_as_many_rows_and_columns_as_the_scale_says() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (1, 8, 40, 3), dtype=np.uint8)
    corrupted = corrupt(noise, "pixelate", 5, [0])[0]
    assert len(np.unique(corrupted, axis=0)) == 5  # int(0.65 * 8)
    assert np.unique(corrupted, axis=1).shape[1] == 26  # int(0.65 * 40)


def test_hsv_equals_scikit_image_in_every_bit() -> None:
    from skimage.color import hsv2rgb, rgb2hsv

    generator = np.random.default_rng(2)
    rgb = np.concatenate([generator.random((1000, 3)), generator.integers(0, 3, (1000, 3)) / 2])  # the latter with ties
    hsv = rgb_to_hsv(rgb)
    np.testing.assert_array_equal(np.stack([hsv.hue, hsv.saturation, hsv.value], axis=-1), rgb2hsv(rgb))

    circle = np.linspace(0, 1, 49)  # hue 1 is hue 0
    saturation, value = generator.random((2, 49))
    expected = hsv2rgb(np.stack([circle, saturation, value], axis=-1))
    np.testing.assert_array_equal(hsv_to_rgb(Hsv(circle, saturation, value)), expected)


# Noise


def _gaussian_cdf(value: int, severity: int) -> Floats:
    sigma = (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1]
    return np.asarray(stats.norm.cdf((np.arange(1, 256) - value) / (255 * sigma)))


def _speckle_cdf(value: int, severity: int) -> Floats:
    sigma = (0.06, 0.1, 0.12, 0.16, 0.2)[severity - 1]
    return np.asarray(stats.norm.cdf((np.arange(1, 256) - value) / (value * sigma)))


def _shot_cdf(value: int, severity: int) -> Floats:
    photons = (500, 250, 100, 75, 50)[severity - 1]
    # The result is below k where 255 * count < k * photons, in integers.
    largest_count = [(k * photons - 1) // 255 for k in range(1, 256)]
    return np.asarray(stats.poisson.cdf(largest_count, value * photons / 255))


def _impulse_cdf(value: int, severity: int) -> Floats:
    amount = (0.01, 0.02, 0.03, 0.05, 0.07)[severity - 1]
    return np.where(np.arange(1, 256) <= value, amount / 2, 1 - amount / 2)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("value", [30, 128, 250])
@pytest.mark.parametrize("name", NOISES)
def test_noise_has_the_mean_and_spread_of_its_distribution(name: str, value: int, severity: int) -> None:
    cdf = dict(zip(NOISES, (_gaussian_cdf, _shot_cdf, _impulse_cdf, _speckle_cdf), strict=True))[name]
    below = np.concatenate([[0.0], cdf(value, severity), [1.0]])  # P(result < k), k = 0..256
    probability = np.diff(below)
    mean = probability @ np.arange(256)
    deviation = np.arange(256) - mean
    variance = probability @ deviation**2

    drawn = corrupt(np.full((100, 32, 32, 3), value, np.uint8), name, severity, range(100), seed=3).ravel()

    # Five standard errors of the mean, and of the mean square deviation.
    n = drawn.size
    assert abs(drawn.mean() - mean) < 5 * np.sqrt(variance / n)
    assert abs(((drawn - mean) ** 2).mean() - variance) < 5 * np.sqrt((probability @ deviation**4 - variance**2) / n)
    # Kolmogorov-Smirnov: exceeded by chance once in 10^7 draws at most.
    empirical = np.cumsum(np.bincount(drawn, minlength=256)) / n
    assert np.abs(empirical - below[1:]).max() < 2.9 / np.sqrt(n)


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_independent_between_channels_neighbours_and_images(name: str) -> None:
    drawn = corrupt(np.full((200, 32, 32, 3), 128, np.uint8), name, 5, range(200)).astype(float)
    pairs = {
        "channels": (drawn[..., 0], drawn[..., 1]),
        "neighbours": (drawn[:, :, 1:], drawn[:, :, :-1]),
        "rows": (drawn[:, 1:], drawn[:, :-1]),
        "images": (drawn[1:], drawn[:-1]),
    }
    for what, (a, b) in pairs.items():
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / np.sqrt(a.size), what


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_subset_equals_the_same_rows_of_the_whole(name: str) -> None:
    images = _tiles(32)[:150]  # several chunks
    whole = corrupt(images, name, 4, range(150), seed=5)
    rows = np.array([149, 0, 63, 64, 65, 63])
    np.testing.assert_array_equal(corrupt(images[rows], name, 4, rows, seed=5), whole[rows])
    np.testing.assert_array_equal(corrupt(images, name, 4, range(150), seed=5), whole)


def _correlation(a: Pixels, b: Pixels) -> float:
    return abs(float(np.corrcoef(a.ravel(), b.ravel())[0, 1]))


@pytest.mark.parametrize("name", NOISES)
def test_another_seed_severity_or_index_draws_unrelated_numbers(name: str) -> None:
    images = np.full((20, 32, 32, 3), 128, np.uint8)
    base = corrupt(images, name, 1, range(20), seed=0)
    others = {
        "seed": corrupt(images, name, 1, range(20), seed=1),
        "severity": corrupt(images, name, 2, range(20), seed=0),
        "index": corrupt(images, name, 1, range(2**40, 2**40 + 20), seed=0),
    }
    for what, other in others.items():
        assert _correlation(base, other) < 5 / np.sqrt(base.size), what


def test_two_corruptions_that_draw_alike_draw_unrelated_numbers() -> None:
    images = np.full((20, 32, 32, 3), 128, np.uint8)
    gaussian, speckle = (corrupt(images, name, 1, range(20)) for name in ("gaussian_noise", "speckle_noise"))
    assert _correlation(gaussian, speckle) < 5 / np.sqrt(gaussian.size)


# Promises of the call


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_input_is_left_alone_and_no_images_give_no_images(name: str) -> None:
    images = _tiles(32)[:3]
    before = images.copy()
    corrupt(images, name, 5, range(3))
    np.testing.assert_array_equal(images, before)
    assert corrupt(images[:0], name, 5, []).shape == (0, 32, 32, 3)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_memory_layout_of_the_input_does_not_matter(name: str) -> None:
    planar = np.ascontiguousarray(_tiles(32)[:5].transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    expected = corrupt(np.ascontiguousarray(planar), name, 3, range(5))
    corrupted = corrupt(planar, name, 3, range(5))
    assert corrupted.flags.c_contiguous
    np.testing.assert_array_equal(corrupted, expected)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_memory_grows_by_the_result_alone(name: str) -> None:
    images = _tiles(32)[:256]

    def peak_bytes(n: int) -> int:
        tracemalloc.start()
        corrupt(images[:n], name, 1, range(n))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(1)  # imports
    # One byte per value; a float64 copy of the rest would be eight times that.
    assert peak_bytes(256) - peak_bytes(128) < 1.5 * images[128:].nbytes


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(ValueError, match="no corruption 'gausian_noise'; did you mean 'gaussian_noise'") as error:
        corrupt(_tiles(32)[:1], "gausian_noise", 1, [0])
    assert "choices: gaussian_noise, shot_noise" in str(error.value)


@pytest.mark.parametrize("severity", [0, 6, -1])
def test_a_severity_outside_one_to_five_is_refused(severity: int) -> None:
    with pytest.raises(ValueError, match=f"severity must be one of 1, 2, 3, 4, 5; got {severity}"):
        corrupt(_tiles(32)[:1], "contrast", severity, [0])


def test_images_and_indices_that_cannot_be_meant_are_refused() -> None:
    images = _tiles(32)[:2]
    with pytest.raises(TypeError, match="images must be uint8; got float64"):
        corrupt(images / 255.0, "contrast", 1, [0, 1])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"\(N, H, W, 3\) or \(N, H, W, 1\) with H, W >= 8; got \(2, 7, 32, 3\)"):
        corrupt(images[:, :7], "contrast", 1, [0, 1])
    with pytest.raises(ValueError, match=r"with H, W >= 8; got \(2, 3, 32, 32\)"):
        corrupt(images.transpose(0, 3, 1, 2), "contrast", 1, [0, 1])
    with pytest.raises(ValueError, match=r"indices must have shape \(2,\), one per image; got \(1,\)"):
        corrupt(images, "contrast", 1, [0])
    with pytest.raises(ValueError, match="indices must be integers >= 0; got dtype int64, smallest -1"):
        corrupt(images, "contrast", 1, [0, -1])
    with pytest.raises(ValueError, match=r"seed must be in 0\.\.2\*\*64 - 1; got -1"):
        corrupt(images, "contrast", 1, [0, 1], seed=-1)


def test_import_is_light_and_no_run_needs_torch_or_scikit_image() -> None:
    program = """
import sys
import numpy as np
from flatnas.corruptions import CORRUPTIONS, corrupt
print([m for m in ("torch", "skimage", "cv2", "scipy", "PIL") if m in sys.modules])
for name in CORRUPTIONS:
    corrupt(np.zeros((1, 8, 8, 3), np.uint8), name, 1, [0])
print([m for m in ("torch", "skimage") if m in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[:2] == ["[]", "[]"]
