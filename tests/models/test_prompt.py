"""The prompt that a checkpoint's processor files define."""

import json
import shutil

import pytest

from relsim.errors import CheckpointError
from relsim.models.prompt import read_prompt


@pytest.fixture
def processor(golden, tmp_path):
    """A copy of the golden processor files that a test may damage."""
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"):
        shutil.copyfile(golden / "relsim" / name, tmp_path / name)
    return tmp_path


def test_text_is_the_published_prompt_up_to_the_query_token(golden):
    """As printed in the published checkpoint's template, one image token standing for all."""
    assert read_prompt(golden / "relsim").text == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|><|query|>"
    )


def test_ids_are_the_tokenizers_own(golden):
    """Whatever the number of image tokens."""
    from transformers import AutoTokenizer

    prompt = read_prompt(golden / "relsim")
    tokenizer = AutoTokenizer.from_pretrained(golden / "relsim")
    for count in (1, 2, 7, 300):
        text = prompt.text.replace("<|image_pad|>", "<|image_pad|>" * count)
        assert prompt.ids(count) == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert prompt.query == tokenizer.convert_tokens_to_ids("<|query|>")


def test_tokenizer_without_the_query_token_is_refused(golden):
    """The base model's tokenizer splits it into several tokens."""
    with pytest.raises(CheckpointError, match=r"<\|query\|> or <\|image_pad\|> as one token"):
        read_prompt(golden / "base")


def test_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no tokenizer can be read"):
        read_prompt(tmp_path)


@pytest.mark.parametrize(
    "template",
    ["plain words", "{% for m in messages %}<|query|>{% endfor %}", "<|image_pad|><|query|><|query|>"],
    ids=["shows neither", "shows no image", "shows the query twice"],
)
def test_template_that_does_not_show_image_and_query_is_refused(processor, template):
    (processor / "chat_template.jinja").write_text(template)
    with pytest.raises(CheckpointError, match="once each"):
        read_prompt(processor)


@pytest.mark.parametrize("template", ["{{ raise_exception('no') }}", "{% for %}", "{{ messages[9].content.x }}"])
def test_template_that_fails_is_refused(processor, template):
    (processor / "chat_template.jinja").write_text(template)
    with pytest.raises(CheckpointError, match="cannot be rendered"):
        read_prompt(processor)


def test_missing_template_is_refused(processor):
    (processor / "chat_template.jinja").unlink()
    config = json.loads((processor / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (processor / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="chat template"):
        read_prompt(processor)


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_damaged_tokenizer_is_refused(processor, text):
    (processor / "tokenizer.json").write_text(text)
    with pytest.raises(CheckpointError):
        read_prompt(processor)
