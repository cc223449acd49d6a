"""A judge on this machine: a small random LLaVA with a processor and a chat template of its own."""

import json
import shutil

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from relsim.cli.main import app
from relsim.data.records import ImageRecord
from relsim.endpoint.cache import ReplyCache
from relsim.endpoint.messages import Message, Picture, Question
from relsim.endpoint.replies import ReplyStatus
from relsim.errors import CheckpointError, RelsimError
from relsim.evaluation.judge import judge_pairs
from relsim.evaluation.judge_local import LocalJudge
from relsim.evaluation.judge_pairs import JudgePair
from relsim.evaluation.judge_prompts import PROMPTS, SYSTEM
from relsim.evaluation.judge_replies import ScoreStatus, read_reply

TEMPLATE = """\
{% for message in messages %}<|im_start|>{{ message.role }}
{% for part in message.content %}{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}{% endfor %}\
<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


@pytest.fixture(scope="module")
def folder(golden, tmp_path_factory):
    """The folder of such a model, as transformers saves it."""
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(golden / "base" / "tokenizer.json"), eos_token="<|im_end|>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    tokenizer.pad_token = "<|im_end|>"
    pixels = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    processor = LlavaProcessor(
        pixels,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**sizes, image_size=28, patch_size=14),
        text_config=LlamaConfig(**sizes, vocab_size=len(tokenizer) + 3, max_position_embeddings=4096),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="full",
    )
    torch.manual_seed(3)
    place = tmp_path_factory.mktemp("llava")
    LlavaForConditionalGeneration(config).save_pretrained(place)
    processor.save_pretrained(place)
    return place


@pytest.fixture
def question(golden_paths):
    """A question about two pictures."""
    first, second = (Picture(path.read_bytes(), 56) for path in golden_paths[:2])

    def ask(*pictures, repeat=0, text="How alike?"):
        parts = (text, *(pictures or (first, second)))
        return Question((Message("system", ("Be brief.",)), Message("user", parts)), repeat)

    return ask


@pytest.fixture(scope="module")
def taught(folder, golden_paths, tmp_path_factory):
    """The same model, taught to answer 8 to whatever a judge is asked about two pictures."""
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    processor = AutoProcessor.from_pretrained(folder)
    network = LlavaForConditionalGeneration.from_pretrained(folder)
    pictures = [Image.open(path).convert("RGB") for path in golden_paths[:4]]
    words = [f"{prompt.text}<image><image>" for prompt in PROMPTS.values()]
    texts = [
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n8<|im_end|>"
        for text in words
    ]
    batches = [processor(text=text, images=pictures[:2], return_tensors="pt") for text in texts]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for step in range(30):
        batch = batches[step % 2]
        labels = batch["input_ids"].clone()
        labels[:, :-2] = -100
        loss = network(**batch, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    place = tmp_path_factory.mktemp("taught")
    network.save_pretrained(place)
    processor.save_pretrained(place)
    return place


@pytest.fixture
def ask(folder):
    """`ask(question, …, settings)`: the replies of the random model."""

    def replies(*questions, cache=None, **settings):
        judge = LocalJudge(folder, settings={"max_tokens": 5, **settings}, cache=cache, device="cpu", dtype="float32")
        return [reply for _, reply in judge.ask_all(questions)]

    return replies


def test_the_answer_is_what_transformers_generates_of_both_pictures(folder, ask, question):
    """By another way: the prompt written out, the pictures beside it, and the processor called itself."""
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    (reply,) = ask(question(), temperature=0)
    processor = AutoProcessor.from_pretrained(folder)
    prompt = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHow alike?<image><image><|im_end|>\n"
    pictures = [part.image() for part in question().messages[1].parts[1:]]
    inputs = processor(text=prompt + "<|im_start|>assistant\n", images=pictures, return_tensors="pt")
    assert len(inputs["pixel_values"]) == 2
    network = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    tokens = network.generate(**inputs, max_new_tokens=5, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert reply.text == processor.decode(tokens, skip_special_tokens=True).strip()
    assert reply.usage.input_tokens == inputs["input_ids"].shape[1]
    assert reply.usage.output_tokens == len(tokens)


def test_an_answer_at_the_limit_of_tokens_is_told_as_cut(ask, question):
    (reply,) = ask(question(), temperature=0)
    assert reply.status is ReplyStatus.CUT_SHORT
    assert read_reply(reply).status is ScoreStatus.TRUNCATED


def test_answers_are_kept_under_the_weights_that_gave_them(ask, question, taught, tmp_path):
    cache = ReplyCache(tmp_path)
    (first,) = ask(question(), cache=cache, temperature=0)
    (second,) = ask(question(), cache=cache, temperature=0)
    assert (first.kept, second.kept, second.text) == (False, True, first.text)
    other = LocalJudge(taught, settings={"max_tokens": 5, "temperature": 0}, cache=cache, device="cpu", dtype="float32")
    assert other.kept(question()) is None


def test_draws_follow_from_the_seed_and_the_question(ask, question):
    questions = [question(repeat=repeat) for repeat in range(3)]
    first = [reply.text for reply in ask(*questions, temperature=1.0, seed=1)]
    assert first == [reply.text for reply in ask(*questions, temperature=1.0, seed=1)]
    assert first[::-1] == [reply.text for reply in ask(*questions[::-1], temperature=1.0, seed=1)]
    assert first != [reply.text for reply in ask(*questions, temperature=1.0, seed=2)]
    assert len(set(first)) == 3


def test_pairs_are_judged_from_end_to_end(taught, golden_paths):
    pairs = [
        JudgePair("m", str(number), ImageRecord("a", str(first)), ImageRecord("b", str(second)))
        for number, (first, second) in enumerate(zip(golden_paths[:2], golden_paths[2:4], strict=True))
    ]
    judge = LocalJudge(taught, settings={"temperature": 0, "max_tokens": 8}, device="cpu", dtype="float32")
    for prompt in PROMPTS.values():
        judged = judge_pairs(pairs, judge, prompt)
        assert [item.score for item in judged] == [8, 8]
        assert {rating.reply.model for item in judged for rating in item.ratings} == {judge.model}


@pytest.mark.parametrize("prompt", ["published", "strict"])
def test_the_command_line_takes_such_a_folder_and_asks_it_once(taught, golden_paths, tmp_path, prompt):
    (tmp_path / "pairs.jsonl").write_text(json.dumps({"a": str(golden_paths[0]), "b": str(golden_paths[3])}))
    words = ["judge", tmp_path / "pairs.jsonl", "--model", f"local:{taught}", "--prompt", prompt, "--device", "cpu"]
    words += ["--out", tmp_path / "judged.json", "--json"]
    found = []
    for _ in range(2):
        result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
        assert result.exit_code == 0, result.stderr
        found.append(json.loads(result.stdout))
    assert [document["asked_now"] for document in found] == [2, 0]
    assert found[0]["summary"]["pairs"]["average_score"] == 8
    assert found[0]["fingerprint"]["endpoint"] == "local"


class TestRefused:
    """Folders and settings that cannot judge."""

    def test_a_folder_without_a_model(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"no config\.json"):
            LocalJudge(tmp_path)

    def test_a_model_of_text_alone(self, tmp_path):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
        with pytest.raises(CheckpointError, match="no model for images and text"):
            LocalJudge(tmp_path, device="cpu")

    def test_a_base_model_without_a_chat_template(self, folder, tmp_path):
        shutil.copytree(folder, tmp_path / "base")
        (tmp_path / "base" / "chat_template.jinja").unlink()
        with pytest.raises(CheckpointError, match="no chat template"):
            LocalJudge(tmp_path / "base", device="cpu")

    def test_a_template_that_takes_no_such_message(self, folder, tmp_path, question):
        shutil.copytree(folder, tmp_path / "m")
        (tmp_path / "m" / "chat_template.jinja").write_text("{{ raise_exception('no system message, please') }}")
        judge = LocalJudge(tmp_path / "m", device="cpu")
        with pytest.raises(CheckpointError, match="no system message, please"):
            list(judge.ask_all([question()]))

    def test_a_setting_that_a_local_model_does_not_have(self, folder):
        with pytest.raises(RelsimError, match="no setting response_format"):
            LocalJudge(folder, settings={"response_format": {"type": "json_object"}})
