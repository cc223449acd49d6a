"""Going on from prompts: the packed pass against transformers' own forward, token by token."""

import pytest
import torch

from relsim.models.base import load_base, place, read_pixels
from relsim.models.pixels import Recipe, cut
from relsim.models.prompt import CAPTION_PROMPT, read_question
from relsim.models.readers import PackedReader, PlainReader

ROOM = 4


@pytest.fixture(scope="module")
def reader(golden):
    """`reader(kind)`: the golden base with its head on that engine."""
    pixels, prompt = read_pixels(golden / "base"), read_question(golden / "base", CAPTION_PROMPT)

    def load(kind):
        network, _ = load_base(golden / "base", torch.float32, head=True)
        return kind(place(network, torch.device("cpu"), torch.float32), pixels, prompt)

    return load


@pytest.fixture(scope="module")
def packed(reader):
    return reader(PackedReader)


@pytest.fixture(scope="module")
def plain(reader):
    return reader(PlainReader)


@pytest.fixture(scope="module")
def patches(golden, noise):
    pixels = read_pixels(golden / "base")
    sizes = [(120, 80), (300, 28), (28, 28), (80, 120), (120, 80)]
    return [cut(noise(*size, seed), Recipe.NATIVE, pixels) for seed, size in enumerate(sizes)]


@torch.inference_mode()
def logits_of(reader, batch, steps):
    """All logits of a batch: after the prompts, then after each step, which is rows to go on with and their tokens."""
    logits, reading = reader.read(batch, ROOM)
    found = [logits]
    for rows, tokens in steps:
        if rows is not None:
            reading.select(torch.tensor(rows))
        found.append(reading.go_on(torch.tensor(tokens)))
    return found


STEPS = [
    (None, [7, 8, 9, 10, 11]),
    ([4, 0, 2], [300, 5, 5]),  # two answers are complete; the others in another order
    ([0, 0, 1, 2, 2], [1, 2, 3, 4, 5]),  # answers that share what was said so far
    ([3], [6]),
]


@pytest.mark.parametrize("chosen", [[0, 1, 2, 3, 4], [0, 4, 0, 4, 4]], ids=["several lengths", "one length"])
def test_the_packed_pass_goes_on_as_transformers_does(packed, plain, patches, chosen):
    batch = [patches[place] for place in chosen]
    for ours, theirs in zip(logits_of(packed, batch, STEPS), logits_of(plain, batch, STEPS), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


def test_a_row_does_not_depend_on_the_others(packed, patches):
    together = logits_of(packed, patches, [(None, [7, 8, 9, 10, 11])])
    for row, item in enumerate(patches):
        alone = logits_of(packed, [item], [(None, [7 + row])])
        for ours, single in zip(together, alone, strict=True):
            torch.testing.assert_close(ours[row : row + 1], single, atol=1e-5, rtol=1e-4)


def test_more_tokens_than_there_is_room_for_are_refused(packed, patches):
    with pytest.raises(IndexError, match="room for 4 tokens"):
        logits_of(packed, patches[:1], [(None, [7])] * (ROOM + 1))
