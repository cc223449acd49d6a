"""The filter's probabilities against transformers, and against themselves in other batches; what is no filter."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen2_5_VLForConditionalGeneration

from relsim.captions.interesting import InterestingFilter
from relsim.encoders.base import shrink_of
from relsim.errors import CheckpointError
from relsim.models.pixels import PixelConfig, Recipe, cut, normalized
from relsim.models.prompt import FILTER_PROMPT, yes_no_tokens

STORED = {"format_version": 1, "kind": "filter", "recipe": "squash112"}


@pytest.fixture
def load_filter(copy_of_captioner, golden):
    """`load_filter({…}, dtype=…)`: the golden captioner's weights, asked for Yes or No."""

    def load(stored=None, name="filter", **options):
        folder = copy_of_captioner({**STORED, **(stored or {})}, name)
        given = {"base_model": golden / "base", "device": "cpu", "dtype": "float32", **options}
        return InterestingFilter.load(folder, **given)

    return load


@pytest.fixture(scope="module")
def oracle(golden):
    """Softmax over the two words of transformers' own logits, one picture at a time, the adapter put on by peft."""
    from peft import PeftModel

    base = Qwen2_5_VLForConditionalGeneration.from_pretrained(golden / "base", dtype=torch.float32)
    network = PeftModel.from_pretrained(base, golden / "captioner").eval()
    tokenizer = AutoTokenizer.from_pretrained(golden / "captioner")
    pixels = PixelConfig.from_file(golden / "base" / "preprocessor_config.json")
    image = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    words = [tokenizer(word)["input_ids"][0] for word in ("Yes", "No")]

    def probability(picture, question=FILTER_PROMPT, recipe="squash112"):
        message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
        text = tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
        patches = cut(picture, Recipe.parse(recipe), pixels)
        count = len(patches.pixels) // pixels.merge_size**2
        ids = torch.tensor([tokenizer(text.replace("<|image_pad|>", "<|image_pad|>" * count))["input_ids"]])
        with torch.no_grad():
            logits = network(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values=torch.from_numpy(normalized(patches, pixels)),
                image_grid_thw=torch.tensor([[1, *patches.grid]]),
                mm_token_type_ids=(ids == image).long(),
            ).logits[0, -1]
        return logits[words].softmax(-1)[0].item()

    return probability


@pytest.fixture(scope="module")
def pictures(golden_pictures):
    return golden_pictures[:6]


def test_probabilities_are_the_softmax_over_both_words_of_transformers(load_filter, oracle, pictures):
    found = load_filter().probabilities(pictures)
    assert found == pytest.approx([oracle(picture) for picture in pictures], abs=1e-4)
    assert np.ptp(found) > 1e-3  # else a constant would pass


def test_the_stored_question_and_recipe_are_asked(load_filter, oracle, pictures):
    question = "Is the picture a joke?"
    found = load_filter({"caption_prompt": question, "recipe": "crop56"}).probabilities(pictures)
    assert found == pytest.approx([oracle(picture, question, "crop56") for picture in pictures], abs=1e-4)
    assert not np.allclose(found, load_filter(name="other").probabilities(pictures), atol=1e-3)


def test_a_given_recipe_takes_the_place_of_the_stored_one(load_filter, oracle, pictures):
    found = load_filter(recipe="native").probabilities(pictures)
    assert found == pytest.approx([oracle(picture, recipe="native") for picture in pictures], abs=1e-4)


def test_a_weight_of_training_is_taken_back(load_filter, pictures):
    """Where Yes counted 8.5 times the odds are 8.5 times too high."""
    plain = load_filter().probabilities(pictures)
    odds = plain / (1 - plain) / 8.5
    found = load_filter({"yes_bias": -math.log(8.5)}, "corrected").probabilities(pictures)
    assert found == pytest.approx(odds / (1 + odds), rel=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_picture_has_the_same_probability_in_every_batch(load_filter, golden_pictures, dtype):
    """Of many sizes, in batches of one, of five and of all."""
    found = load_filter(recipe="native", dtype=dtype)
    alone = found.probabilities(golden_pictures, batch_size=1)
    for size in (5, 100):
        assert found.probabilities(golden_pictures[::-1], batch_size=size)[::-1] == pytest.approx(alone, abs=1e-6)


def test_bfloat16_is_near_fp32(load_filter, pictures):
    exact, rough = load_filter(), load_filter(name="rough", dtype="bfloat16")
    assert rough.probabilities(pictures) == pytest.approx(exact.probabilities(pictures), abs=0.05)
    assert rough.fingerprint != exact.fingerprint


def test_no_picture_has_no_probability(load_filter):
    assert load_filter().probabilities([]).shape == (0,)


def test_what_is_no_picture_is_refused(load_filter):
    with pytest.raises(TypeError):
        load_filter().probabilities(["a.png"])


def test_the_batch_size_counts_pictures(load_filter, pictures):
    """Five pictures in batches of two are three batches."""
    found, sizes = load_filter(), []
    encode = found.encode
    found.encode = lambda batch: sizes.append(len(batch)) or encode(batch)
    found.probabilities(pictures[:5], batch_size=2)
    assert sizes == [2, 2, 1]


def test_threshold_and_bias_are_read_and_have_defaults(load_filter):
    plain, stored = load_filter(), load_filter({"threshold": 0.31, "yes_bias": -2}, "stored")
    assert (plain.threshold, plain.yes_bias) == (0.5, 0.0)
    assert (stored.threshold, stored.yes_bias) == (0.31, -2.0)


def test_the_fingerprint_knows_the_bias(load_filter):
    assert load_filter().fingerprint != load_filter({"yes_bias": 1.0}, "other").fingerprint


def test_a_filter_of_older_training_is_known_by_its_task(load_filter, pictures):
    old = load_filter({"kind": None, "task": "yes_no"}, "old")
    assert np.array_equal(old.probabilities(pictures), load_filter().probabilities(pictures))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"threshold": 1.5}, "threshold 1.5; it must be a probability"),
        ({"threshold": "high"}, "threshold 'high'; it must be a number"),
        ({"yes_bias": True}, "yes_bias True; it must be a number"),
        ({"caption_prompt": ""}, "it must be the text of the prompt"),
    ],
)
def test_values_that_cannot_be_used_are_named(load_filter, wrong, told):
    with pytest.raises(CheckpointError, match=told):
        load_filter(wrong)


def test_pictures_made_smaller_are_the_same_to_it(load_filter, noise):
    """They are what workers of Ray send, and the probabilities are those of whole pictures."""
    found = load_filter(recipe="squash56")
    for size in [(300, 200), (57, 56), (9, 20)]:
        small = shrink_of(found)(noise(*size))
        assert max(small.size) <= 56
        assert np.array_equal(found.prepare(small).pixels, found.prepare(noise(*size)).pixels)


def test_a_captioner_is_refused(golden, copy_of_captioner):
    for folder in (golden / "captioner", copy_of_captioner({"task": "caption", "caption_prompt": "What?"})):
        with pytest.raises(CheckpointError, match="is a captioner, no filter"):
            InterestingFilter.load(folder, base_model=golden / "base")


def test_a_checkpoint_of_the_metric_is_refused(golden):
    with pytest.raises(CheckpointError, match="is a checkpoint of the metric, no filter"):
        InterestingFilter.load(golden / "relsim", base_model=golden / "base")


def test_a_filter_writes_no_captions(load_captioner, copy_of_captioner):
    with pytest.raises(CheckpointError, match="is a filter and writes no captions"):
        load_captioner(copy_of_captioner(STORED))


def test_a_tokenizer_that_begins_both_words_alike_is_refused(tmp_path):
    """It knows no word, so both are the unknown one."""
    words = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    with pytest.raises(CheckpointError, match="they cannot compete"):
        yes_no_tokens(PreTrainedTokenizerFast(tokenizer_object=words), tmp_path)


def test_pictures_of_one_size_and_of_many_are_taken_alike(load_filter, noise):
    """`squash` makes one size of all, so a picture and itself squashed before are one."""
    picture = noise(300, 140)
    squashed = picture.resize((112, 112), Image.Resampling.LANCZOS)
    found = load_filter().probabilities([picture, squashed])
    assert found[0] == pytest.approx(found[1], abs=1e-6)
