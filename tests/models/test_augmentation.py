"""Pictures are mirrored and moved at random, and enlarged as they will be on the device."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from splitwire.models.training.data import batches
from splitwire.models.training.data.batches import AugmentedBatches, DrawnBatches, Enlarge, variants_of_epoch
from splitwire.models.training.data.pictures import Pictures
from splitwire.shared.pictures.decoding import square
from splitwire.shared.pictures.loading import Preparation, prepare

if TYPE_CHECKING:
    from numpy.typing import NDArray

CPU = torch.device("cpu")
UNCHANGED = Preparation(size=32, mean=(0, 0, 0), std=(1 / 255, 1 / 255, 1 / 255))


def pictures(*sizes: tuple[int, int]) -> Pictures:
    rng = np.random.default_rng(0)
    files = []
    for width, height in sizes:
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(buffer, "PNG")
        files.append(buffer.getvalue())
    names = tuple(str(number) for number in range(len(sizes)))
    labels = np.zeros(len(sizes), dtype=np.int64)
    side = sizes[0][0] if set(sizes) == {(sizes[0][0], sizes[0][0])} else None
    return Pictures(classes=("noise",), names=names, labels=labels, files=tuple(files), side=side)


def pixels(of: Pictures, index: int) -> NDArray[np.uint8]:
    return np.asarray(of.image(index)).transpose(2, 0, 1)


def variants_of(source: AugmentedBatches, index: int) -> NDArray[np.float32]:
    every = np.arange(source.variants)
    return source.batch(np.full(source.variants, index), every).numpy()


def test_variant_0_is_the_picture_itself() -> None:
    noise = pictures(*[(32, 32)] * 3)
    source = AugmentedBatches(noise, UNCHANGED, CPU, mirrored=True, shift=4)
    indices = np.array([2, 0])
    batch = source.batch(indices, np.zeros_like(indices)).numpy()
    assert batch.dtype == np.float32
    assert np.array_equal(batch, np.stack([pixels(noise, 2), pixels(noise, 0)]))


def test_variants_are_every_move_of_the_picture_and_of_its_mirror_image_once() -> None:
    noise = pictures((8, 8))
    source = AugmentedBatches(noise, UNCHANGED, CPU, mirrored=True, shift=1)
    padded = np.pad(pixels(noise, 0), ((0, 0), (1, 1), (1, 1)), mode="reflect")
    moved = [padded[:, down : down + 8, right : right + 8] for down in range(3) for right in range(3)]
    expected = {picture.tobytes() for picture in (*moved, *(each[:, :, ::-1] for each in moved))}
    made = [variant.astype(np.uint8).tobytes() for variant in variants_of(source, 0)]
    assert source.variants == len(made) == len(expected) == 18
    assert set(made) == expected


def test_without_changes_there_is_one_variant() -> None:
    assert AugmentedBatches(pictures((8, 8)), UNCHANGED, CPU, mirrored=False, shift=0).variants == 1


def test_drawn_variants_come_after_every_picture_as_it_is_and_are_the_same_for_a_seed() -> None:
    noise = pictures(*[(32, 32)] * 4)
    source = AugmentedBatches(noise, UNCHANGED, CPU, mirrored=True, shift=2)
    drawn, again, other = (
        DrawnBatches(source, UNCHANGED, 3, seed, plain=True).batch(np.arange(12), np.arange(12))
        for seed in (0, 0, 1)
    )
    assert np.array_equal(drawn[:4], np.stack([pixels(noise, index) for index in range(4)]))
    assert torch.equal(drawn, again)
    assert not torch.equal(drawn[4:], other[4:])
    for entry in range(4, 12):
        assert any(np.array_equal(drawn[entry], variant) for variant in variants_of(source, entry % 4))
    assert DrawnBatches(source, UNCHANGED, 3, 0, plain=True).labels.tolist() == [0] * 12


def test_drawn_variants_of_another_preparation_are_another_cache() -> None:
    source = AugmentedBatches(pictures((32, 32)), UNCHANGED, CPU, mirrored=True, shift=2)
    one, other = (
        DrawnBatches(source, preparation, 1, 0, plain=False) for preparation in (UNCHANGED, Preparation())
    )
    assert one.identity != other.identity


def test_without_the_plain_pictures_all_entries_are_drawn() -> None:
    noise = pictures(*[(32, 32)] * 8)
    source = AugmentedBatches(noise, UNCHANGED, CPU, mirrored=True, shift=2)
    drawn = DrawnBatches(source, UNCHANGED, 1, 0, plain=False).batch(np.arange(8), np.arange(8))
    assert sum(np.array_equal(drawn[index], pixels(noise, index)) for index in range(8)) < 4
    for entry in range(8):
        assert any(np.array_equal(drawn[entry], variant) for variant in variants_of(source, entry))


@pytest.mark.parametrize(
    "sizes", [[(32, 32), (16, 16)], [(48, 32), (48, 32)], [(64, 64)], [(300, 20), (20, 300)]]
)
def test_pictures_of_other_shapes_are_what_the_network_sees_of_them_mirrored_and_moved(
    sizes: list[tuple[int, int]],
) -> None:
    noise = pictures(*sizes)
    source = AugmentedBatches(noise, UNCHANGED, CPU, mirrored=True, shift=1)
    for index in range(len(sizes)):
        seen = np.asarray(square(noise.image(index), UNCHANGED.view)).transpose(2, 0, 1)
        padded = np.pad(seen, ((0, 0), (1, 1), (1, 1)), mode="reflect")
        moved = [padded[:, down : down + 32, right : right + 32] for down in range(3) for right in range(3)]
        expected = {picture.tobytes() for picture in (*moved, *(each[:, :, ::-1] for each in moved))}
        made = [variant.astype(np.uint8) for variant in variants_of(source, index)]
        assert np.array_equal(made[0], seen)
        assert {variant.tobytes() for variant in made} == expected


def test_large_pictures_are_moved_by_32nds_of_their_side() -> None:
    noise, preparation = pictures((64, 96)), UNCHANGED.model_copy(update={"size": 64})
    seen = np.asarray(square(noise.image(0), preparation.view)).transpose(2, 0, 1)
    padded = np.pad(seen, ((0, 0), (2, 2), (2, 2)), mode="reflect")
    expected = {
        padded[:, down : down + 64, right : right + 64].tobytes() for down in (0, 2, 4) for right in (0, 2, 4)
    }
    source = AugmentedBatches(noise, preparation, CPU, mirrored=False, shift=1)
    assert {variant.astype(np.uint8).tobytes() for variant in variants_of(source, 0)} == expected


def test_pixels_that_are_too_many_to_be_kept_are_decoded_when_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noise = pictures((32, 32), (32, 32))
    kept = variants_of(AugmentedBatches(noise, UNCHANGED, CPU, mirrored=True, shift=2), 1)
    monkeypatch.setattr(batches, "KEPT_BYTES", 0)
    assert np.array_equal(
        variants_of(AugmentedBatches(noise, UNCHANGED, CPU, mirrored=True, shift=2), 1), kept
    )


def test_random_parts_of_pictures_are_the_same_each_time_and_the_first_is_the_picture_as_it_is() -> None:
    noise = pictures((80, 60), (40, 200))
    source, again = (
        AugmentedBatches(noise, UNCHANGED, CPU, mirrored=True, shift=0, crop=0.3) for _ in range(2)
    )
    for index in range(2):
        made = variants_of(source, index)
        assert np.array_equal(made, variants_of(again, index))
        assert np.array_equal(
            made[0], np.asarray(square(noise.image(index), UNCHANGED.view)).transpose(2, 0, 1)
        )
        assert np.array_equal(made[1::2], made[::2, :, :, ::-1])
        assert len({each.tobytes() for each in made}) == source.variants == 128


@pytest.mark.parametrize("side", [32, 100, 224])
def test_enlarging_agrees_with_the_devices_preparation_to_one_level(side: int) -> None:
    noise = pictures((side, side))
    preparation = Preparation()
    enlarged = Enlarge(preparation)(torch.from_numpy(pixels(noise, 0).copy()).float()[None])[0].numpy()
    prepared = prepare(noise.image(0), preparation)
    levels = np.abs(enlarged - prepared) * np.array(preparation.std)[:, None, None] * 255
    assert levels.max() <= 1.01
    assert (levels > 0.01).mean() < 0.02, "rounded differently, and rarely"


@pytest.mark.parametrize("variants", [1, 2, 9, 18, 25, 50, 162])
def test_an_input_meets_all_its_variants_before_one_again_and_mirrored_ones_by_turns(variants: int) -> None:
    epochs = np.stack([variants_of_epoch(variants, 40, epoch, seed=3) for epoch in range(variants)])
    assert (np.sort(epochs, axis=0) == np.arange(variants)[:, None]).all()
    if variants % 2 == 0:
        assert ((epochs[1:] - epochs[:-1]) % 2 == 1).all()
    if variants > 2:
        assert len(set(epochs[0])) > 2, "inputs begin at different ones"
