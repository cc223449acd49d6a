"""The light tokenizer: the ids and texts of transformers' own, or none at all."""

import json
import shutil

import pytest

from relsim.models.embedded import NAMES, embedded_folder
from relsim.models.light_tokenizer import LightTokenizer
from relsim.models.prompt import CAPTION_PROMPT, load_tokenizer, question_about_image, read_prompt

TEXTS = (
    "",
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|vision_start|><|image_pad|><|vision_end|><|query|>",
    "  Arrangement of {Objects} in a ring,\n\tone left out  ",
    "Überraschung: naïve 图像 🙂 \u0301e\u200b",
    CAPTION_PROMPT,
)


@pytest.fixture
def folder(tmp_path):
    """The tokenizer files of the default checkpoint, to change."""
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(embedded_folder(NAMES[0]) / name, tmp_path / name)
    return tmp_path


def configure(folder, **changes):
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, **changes}))


@pytest.mark.parametrize("name", NAMES)
class TestSameAsTransformers:
    def test_ids(self, name):
        ours, theirs = LightTokenizer.read(embedded_folder(name)), load_tokenizer(embedded_folder(name))
        for text in TEXTS:
            assert (
                ours(text, add_special_tokens=False)["input_ids"] == theirs(text, add_special_tokens=False)["input_ids"]
            )

    def test_numbers_of_tokens(self, name):
        ours, theirs = LightTokenizer.read(embedded_folder(name)), load_tokenizer(embedded_folder(name))
        assert all(ours.convert_tokens_to_ids(token) == number for token, number in theirs.get_vocab().items())
        assert ours.convert_tokens_to_ids("<|no such token|>") is None

    @pytest.mark.parametrize("asks", [False, True])
    def test_rendered_messages(self, name, asks):
        ours, theirs = LightTokenizer.read(embedded_folder(name)), load_tokenizer(embedded_folder(name))
        for words in ("<|query|>", *TEXTS):
            messages = [question_about_image(words), {"role": "assistant", "content": words}]
            assert ours.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=asks
            ) == theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=asks)


def test_length_limits_and_padding_in_the_file_are_none_of_a_prompts_business(folder):
    """transformers applies them when it is asked to, and a prompt does not ask."""
    content = json.loads((folder / "tokenizer.json").read_text())
    content["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    content["padding"] = {
        "strategy": {"Fixed": 99},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "<|endoftext|>",
    }
    (folder / "tokenizer.json").write_text(json.dumps(content))
    assert read_prompt(folder) == read_prompt(embedded_folder(NAMES[0]))
    theirs = load_tokenizer(folder)(TEXTS[1], add_special_tokens=False)["input_ids"]
    assert LightTokenizer.read(folder)(TEXTS[1], add_special_tokens=False)["input_ids"] == theirs


@pytest.mark.parametrize("part", ["base", "relsim", "captioner"])
def test_tokenizers_of_other_classes_are_left_to_transformers(golden, part):
    assert LightTokenizer.read(golden / part) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"tokenizer_class": "Qwen2Tokenizer"},
        {"tokenizer_class": None},
        {"add_prefix_space": True},
        {"chat_template": "{{ messages }}"},
        {"extra_special_tokens": ["<|query|>", "<|never seen|>"]},
        {"extra_special_tokens": {"image_token": "<|image_pad|>"}},
        {"pad_token": "<|never seen|>"},
        {"pad_token": {"content": "<|endoftext|>"}},
    ],
    ids=str,
)
def test_settings_that_may_change_a_token_are_left_to_transformers(folder, changes):
    assert LightTokenizer.read(folder) is not None
    configure(folder, **changes)
    assert LightTokenizer.read(folder) is None


@pytest.mark.parametrize("name", ["added_tokens.json", "special_tokens_map.json"])
def test_files_that_may_add_a_token_are_left_to_transformers(folder, name):
    (folder / name).write_text("{}")
    assert LightTokenizer.read(folder) is None


@pytest.mark.parametrize(
    "template",
    [
        "{{ bos_token }}{{ messages[0].role }}",
        "{{ raise_exception('no') }}",
        "{% set count = namespace(value=0) %}{{ messages[0].role }}",
        "{{ messages | tojson }}",
        "{% generation %}{{ messages[0].role }}{% endgeneration %}",
        "{% for message in messages %}{% break %}{% endfor %}",
        "{% for %}",
    ],
)
def test_templates_that_ask_for_more_are_left_to_transformers(folder, template):
    (folder / "chat_template.jinja").write_text(template)
    assert LightTokenizer.read(folder) is None


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff\xfe"])
def test_missing_and_damaged_files_are_left_to_transformers(folder, name, content):
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    found = LightTokenizer.read(folder)
    assert found is None or (name == "chat_template.jinja" and content in (b"", b"{", b"[]"))
    # those three are templates: of plain words
