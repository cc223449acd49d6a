"""Choosing tokens: transformers' own processors as oracle, and a network that says what it is told to."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from relsim.models.generation import AnswerDecoder, Sampling, draw, penalized
from relsim.models.pixels import Patches, PixelConfig
from relsim.models.prompt import Prompt

VOCABULARY, STOP = 40, 9
PROMPT = Prompt("", (1, 2), (3,), 4)


@pytest.fixture
def logits():
    return torch.from_numpy(np.random.default_rng(0).normal(0, 3, (6, VOCABULARY))).float()


def by_transformers(logits, temperature, top_k, top_p):
    """The shares that transformers samples from, (B, V)."""
    for warp in (TemperatureLogitsWarper(temperature), TopKLogitsWarper(top_k), TopPLogitsWarper(top_p)):
        logits = warp(None, logits)
    return logits.softmax(dim=-1)


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"), [(0.7, 50, 0.9), (1.5, 5, 1.0), (1.0, 40, 0.5), (2.0, 3, 0.9)]
)
def test_tokens_are_drawn_with_transformers_shares(logits, temperature, top_k, top_p):
    """Evenly spaced draws hit each token in proportion to its share, to one draw in 1,000."""
    shares = by_transformers(logits, temperature, top_k, top_p)
    count = 1_000
    for row in range(len(logits)):
        draws = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        found = draw(logits[row].expand(count, -1), draws, temperature=temperature, top_k=top_k, top_p=top_p)
        hit = torch.bincount(torch.tensor(found), minlength=VOCABULARY) / count
        assert (hit - shares[row]).abs().max() <= 1.001 / count


@pytest.mark.parametrize("number", [0.0, np.nextafter(1.0, 0.0)])
def test_draws_at_either_end_stay_within_what_is_kept(number):
    logits = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    draws = torch.tensor([number], dtype=torch.float64)
    (found,) = draw(logits, draws, temperature=1.0, top_k=50, top_p=0.9)
    kept = by_transformers(logits, 1.0, 4, 0.9)[0].nonzero()[:, 0].tolist()
    assert found == (3 if number == 0 else min(kept))


def test_repetition_is_penalized_as_in_transformers(logits):
    ids = torch.tensor([[1, 5, 5], [0, 2, 39], [7, 7, 7], [3, 4, 5], [8, 9, 10], [20, 21, 22]])
    seen = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, ids, value=True)
    torch.testing.assert_close(penalized(logits, seen, 1.3), RepetitionPenaltyLogitsProcessor(1.3)(ids, logits))


class Parrot(torch.nn.Module):
    """A network that reads a picture's red as a script number and says that script, one token after the other.

    It keeps count of the rows that it was asked for at every step.
    """

    def __init__(self, scripts):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.scripts, self.rows = scripts, []
        self.model = SimpleNamespace(get_rope_index=self.positions)

    @staticmethod
    def positions(ids, mm_token_type_ids, image_grid_thw, attention_mask):
        return (attention_mask.cumsum(1) - 1).clamp(min=0)[None].expand(3, -1, -1), None

    def forward(self, input_ids, attention_mask, position_ids, past_key_values=None, **inputs):
        if past_key_values is None:
            patches = inputs["pixel_values"].view(len(input_ids), -1)
            past_key_values = Scripts([round(float(row[0])) for row in patches])
            assert inputs["mm_token_type_ids"].equal((input_ids == PROMPT.image).long())
            self.length = input_ids.shape[1]
        self.rows.append(len(input_ids))
        step = attention_mask.shape[1] - self.length
        # positions go on from the row's own length, padding not counted
        assert position_ids[0, :, -1].tolist() == (attention_mask.sum(1) - 1).tolist()
        logits = torch.zeros(len(input_ids), 1, VOCABULARY)
        for row, script in enumerate(past_key_values.numbers):
            logits[row, 0, self.scripts[script][step]] = 1.0
        return SimpleNamespace(logits=logits, past_key_values=past_key_values)


class Scripts:
    """What the parrot keeps of its pictures in place of keys and values."""

    def __init__(self, numbers):
        self.numbers = numbers

    def batch_select_indices(self, rows):
        self.numbers = [self.numbers[row] for row in rows.tolist()]


@pytest.fixture
def decode():
    pixels = PixelConfig(mean=(0, 0, 0), std=(1 / 255, 1 / 255, 1 / 255))  # so that a network reads bytes

    def run(scripts, length=10, **options):
        network = Parrot([[*script, *[0] * 20] for script in scripts])
        batch = [Patches(np.full((4, 588), number, np.uint8), (2, 2)) for number in range(len(scripts))]
        sampling = Sampling(greedy=True, max_new_tokens=length)
        answers = AnswerDecoder(network, pixels, PROMPT, {STOP}, **options)(batch, sampling)
        return answers, network.rows

    return run


def test_an_answer_ends_before_its_stop_token(decode):
    assert decode([[5, 6, STOP], [STOP], [7, STOP]])[0] == [[5, 6], [], [7]]


def test_finished_answers_leave_the_batch(decode):
    assert decode([[5, 6, 7, STOP], [STOP], [7, STOP]])[1] == [3, 2, 1, 1]


def test_the_longest_answer_costs_no_step_too_many(decode):
    assert decode([[5, 6, 7, 8, STOP]], length=3) == ([[5, 6, 7]], [1, 1, 1])


def test_a_penalty_keeps_the_tokens_of_prompt_and_answer_away(decode):
    """The parrot gives one token 1 and all others 0, so divided by infinity a token is as likely as any."""
    assert decode([[1, 5, 5, STOP]], repetition_penalty=float("inf"), length=3)[0] == [[0, 5, 0]]


def test_no_picture_is_no_work(decode):
    assert decode([]) == ([], [])
