from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regmix_bench.data import Batches
from regmix_bench.data.batches import check_batches, random_crop
from regmix_bench.errors import UserError
from regmix_bench.specs import Recipe


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def coded_images(n: int, side: int = 8) -> torch.Tensor:
    """uint8 images whose pixels all differ and none of which is zero."""
    pixels = torch.arange(2 * side * side).add(1).remainder(251).add(1).to(torch.uint8)
    return pixels.view(1, 2, side, side).repeat(n, 1, 1, 1)


@settings(deadline=None, max_examples=50)
@given(size=st.integers(2, 60), batch_size=st.integers(2, 20), seed=st.integers(0, 5))
def test_every_image_once_in_even_batches(size, batch_size, seed):
    labels = torch.arange(size)
    batches = Batches(torch.zeros(size, 1, 2, 2), labels, batch_size, "none")
    epoch = list(batches.epoch(generator(seed)))
    sizes = [len(batch.index) for batch in epoch]
    assert len(epoch) == len(batches) == min(-(-size // batch_size), size // 2)
    # Batch norm has no statistics of one image.
    assert min(sizes) >= 2 and max(sizes) <= max(batch_size, 3)
    assert max(sizes) - min(sizes) <= 1
    index = torch.cat([batch.index for batch in epoch])
    assert sorted(index.tolist()) == list(range(size))
    assert torch.equal(torch.cat([batch.y for batch in epoch]), labels[index])


@settings(deadline=None, max_examples=50)
@given(batch_size=st.integers(2, 20), more=st.integers(0, 50), seed=st.integers(0, 5))
def test_equal_batches_are_all_full_and_leave_the_remainder_out(batch_size, more, seed):
    size = batch_size + more
    labels = torch.arange(size)
    batches = Batches(torch.zeros(size, 1, 2, 2), labels, batch_size, "none", "equal")
    epoch = list(batches.epoch(generator(seed)))
    assert batches.batch_sizes == {batch_size}
    assert [len(batch.index) for batch in epoch] == [batch_size] * len(batches)
    index = torch.cat([batch.index for batch in epoch])
    assert len(index.unique()) == len(index) == batches.visited == size - size % batch_size
    assert torch.equal(torch.cat([batch.y for batch in epoch]), labels[index])
    assert batches.size == size


@pytest.mark.parametrize("division", ["even", "equal"])
@pytest.mark.parametrize("repeats", [1, 3, 4, 7, 50])
def test_an_epoch_has_as_many_batches_where_each_is_repeated(division, repeats):
    batches = Batches(coded_images(66), torch.arange(66), 9, "crop", division)
    once, epoch = list(batches.epoch(generator())), list(batches.epoch(generator(), repeats))
    assert len(epoch) == len(once) == len(batches) == (7 if division == "equal" else 8)
    for place, batch in enumerate(epoch):
        expected = once[place // repeats]
        assert torch.equal(batch.index, expected.index) and torch.equal(batch.x, expected.x)


def test_equal_batches_leave_other_images_out_each_epoch():
    batches, source = Batches(coded_images(37), torch.arange(37), 10, "crop", "equal"), generator()
    left_out = []
    for _ in range(200):
        seen = torch.cat([batch.index for batch in batches.epoch(source)])
        left_out += sorted(set(range(37)) - set(seen.tolist()))
    assert len(left_out) == 200 * 7
    # 38 times on average, with a standard deviation of 5.5.
    assert all(16 <= left_out.count(image) <= 60 for image in range(37))


@pytest.mark.parametrize(
    ("size", "batch_size", "division", "fits"),
    [
        (127, 128, "equal", False),
        (3, 4, "equal", False),
        (4, 4, "equal", True),
        (3, 4, "even", True),
    ],
)
def test_an_equal_batch_has_to_be_filled(size, batch_size, division, fits):
    recipe = Recipe(batch_size=batch_size, batches=division)
    if fits:
        return check_batches(size, recipe)
    with pytest.raises(UserError, match=f"{size} training images .* batch of {batch_size}"):
        check_batches(size, recipe)


def test_images_follow_their_index_and_are_scaled():
    images = torch.randint(0, 256, (10, 3, 4, 4), dtype=torch.uint8)
    for batch in Batches(images, torch.zeros(10), 4, "none").epoch(generator()):
        assert batch.x.dtype == torch.float32
        assert torch.equal(batch.x, images[batch.index].float() / 255)


@pytest.mark.parametrize("augmentation", ["none", "crop", "crop-flip"])
def test_an_epoch_is_determined_by_the_seed(augmentation):
    batches = Batches(coded_images(30), torch.arange(30), 7, augmentation)

    def drawn(seed):
        epoch = list(batches.epoch(generator(seed)))
        return torch.cat([b.x for b in epoch]), torch.cat([b.index for b in epoch])

    assert all(torch.equal(a, b) for a, b in zip(drawn(1), drawn(1), strict=True))
    assert not torch.equal(drawn(1)[1], drawn(2)[1])


def test_epochs_of_one_generator_differ():
    batches = Batches(coded_images(30), torch.arange(30), 30, "none")
    source = generator()
    first, second = next(batches.epoch(source)), next(batches.epoch(source))
    assert not torch.equal(first.index, second.index)


def candidates(image: torch.Tensor, flip: bool) -> dict[bytes, tuple[int, int, bool]]:
    """Every crop of one image, cut with a loop, by its content."""
    channels, height, width = image.shape
    top, left = height // 8, width // 8
    padded = torch.zeros(channels, height + 2 * top, width + 2 * left, dtype=image.dtype)
    padded[:, top : top + height, left : left + width] = image
    found = {}
    for row in range(2 * top + 1):
        for column in range(2 * left + 1):
            crop = padded[:, row : row + height, column : column + width]
            found[crop.contiguous().numpy().tobytes()] = (row, column, False)
            if flip:
                found[crop.flip(2).contiguous().numpy().tobytes()] = (row, column, True)
    return found


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("side", "margin"), [(8, 1), (32, 4), (64, 8), (7, 0)])
def test_crops_are_those_of_a_reference_and_all_of_them(side, margin, flip):
    images = coded_images(1, side)
    expected = candidates(images[0], flip)
    assert len(expected) == (2 * margin + 1) ** 2 * (2 if flip else 1)
    source = generator()
    drawn = {
        expected[image.numpy().tobytes()]
        for _ in range(25)  # 25 x 400 draws miss one of 578 outcomes once in 60,000 times
        for image in random_crop(images.expand(400, -1, -1, -1), source, flip)
    }
    assert drawn == set(expected.values())


def test_each_image_keeps_its_own_pixels():
    # Images of one constant value: whatever the crop, only that value and the padding appear.
    values = torch.arange(1, 201, dtype=torch.uint8)
    images = values.view(-1, 1, 1, 1).expand(-1, 3, 16, 16).contiguous()
    cropped = random_crop(images, generator(), flip=True)
    assert torch.equal(cropped.amax((1, 2, 3)), values)
    assert bool(((cropped == 0) | (cropped == images)).all())


def test_offsets_and_flips_are_uniform_and_independent():
    image = coded_images(1)
    n = 9000
    where = candidates(image[0], flip=True)
    counts = dict.fromkeys(where.values(), 0)
    for cropped in random_crop(image.expand(n, -1, -1, -1), generator(), flip=True):
        counts[where[cropped.numpy().tobytes()]] += 1
    # 18 outcomes of mean 500 and standard deviation 22: five of them either way.
    assert all(abs(count - n / 18) < 110 for count in counts.values())


def test_crop_without_flip_never_mirrors():
    batches = Batches(coded_images(500), torch.zeros(500), 500, "crop")
    allowed = candidates(coded_images(1)[0], flip=False)
    (batch,) = batches.epoch(generator())
    pixels = (batch.x * 255).round().to(torch.uint8)
    assert {allowed[image.numpy().tobytes()][2] for image in pixels} == {False}


def test_channel_statistics_are_those_of_the_images():
    images = torch.randint(0, 256, (2500, 3, 5, 4), generator=generator(), dtype=torch.uint8)
    mean, std = Batches(images, torch.zeros(2500), 100, "crop").channel_statistics()
    pixels = images.double() / 255
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-6)
    assert std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(
    labelled=st.integers(2, 40),
    others=st.integers(0, 40),
    hidden=st.integers(0, 60),
    batch_size=st.integers(2, 20),
    seed=st.integers(0, 3),
)
def test_half_of_a_batch_is_labelled_and_no_image_is_in_it_twice(
    labelled, others, hidden, batch_size, seed
):
    size, length = labelled + others, labelled + hidden
    labels = torch.cat([torch.arange(labelled), torch.full((others,), -1)])
    batches = Batches(torch.zeros(size, 1, 2, 2), labels, batch_size, "none", "even", length)
    whole = Batches(torch.zeros(length, 1, 2, 2), torch.arange(length), batch_size, "none")
    epoch, full = list(batches.epoch(generator(seed))), list(whole.epoch(generator(seed)))
    assert len(epoch) == len(batches) == len(full)
    for batch, beside in zip(epoch, full, strict=True):
        assert len(batch.index.unique()) == len(batch.index)
        assert torch.equal(batch.y, labels[batch.index])
        known = int((batch.y >= 0).sum())
        without, half = len(batch.y) - known, -(-len(beside.y) // 2)
        # A half that has too few images leaves its places to the other.
        assert len(batch.y) == min(len(beside.y), size)
        if labelled >= half and others >= len(beside.y) - half:
            assert known == half
        else:
            assert known == labelled or without == others
        assert batch.partly_labelled == (others > 0)
    assert batches.visited == sum(len(batch.y) for batch in epoch)
    assert batches.batch_sizes == {len(batch.y) for batch in epoch}
    # Each half comes around.
    visits = torch.cat([batch.index for batch in epoch]).bincount(minlength=size)
    for part in (visits[:labelled], visits[labelled:]):
        assert not len(part) or part.max() - part.min() <= 1
    if hidden == others == 0:
        assert all(torch.equal(a.index, b.index) for a, b in zip(epoch, full, strict=True))
        assert batches.once_an_epoch


def test_pseudo_labels_are_kept_and_labelled_images_stand_alone():
    labels = torch.tensor([3, 1, 2, -1, -1])
    batches = Batches(coded_images(5), labels, 4, "none")
    alone = batches.labelled_alone()
    assert (alone.size, alone.labelled, len(alone), alone.partly_labelled) == (3, 3, 2, False)
    assert len(batches.unlabelled_images()) == 2 and not batches.once_an_epoch
    batches.pseudo_label(torch.tensor([7, 8]))
    for batch in batches.epoch(generator()):
        expected = torch.tensor([3, 1, 2, 7, 8])[batch.index]
        assert torch.equal(batch.y, expected) and not batch.partly_labelled
    assert batches.labelled == 3
