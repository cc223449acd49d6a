"""The shape, vocabulary and prompt of the embedded base: a Qwen2.5-VL of a few million parameters, not yet trained."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from relsim.world.canvas import BACKGROUNDS, STYLES
from relsim.world.descriptions import Sight, describe
from relsim.world.objects import OBJECTS
from relsim.world.palettes import PALETTES
from relsim.world.relations import PORTRAIT, RELATIONS

SIDE, PATCH, MERGE = 160, 20, 2
VOCABULARY = 1536
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
           "<|video_pad|>", "<|query|>")  # fmt: skip
DESCRIBE, ANONYMOUS = "Describe the picture.", "Give the anonymous caption."
SYSTEM = "You are a helpful assistant."
TEMPLATE = """{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system
You are a helpful assistant.<|im_end|>
{% endif %}<|im_start|>{{ message['role'] }}
{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}\
{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% elif 'text' in part %}\
{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def write_base(folder: Path) -> None:
    """Configuration, tokenizer, chat template and pixel settings; weights are for training to draw."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = _write_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps(_config(tokens), indent=2) + "\n")
    (folder / "preprocessor_config.json").write_text(json.dumps(_pixels(), indent=2) + "\n")


def sentences() -> Iterable[str]:
    """Text with every word that the world's captions use, each about as often as captions do."""
    prompt = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{{}}<|im_end|>\n<|im_start|>assistant\n"
    for _ in range(200):
        yield from (prompt.format(DESCRIBE), prompt.format(ANONYMOUS))
    for _ in range(20):
        for relation in (*RELATIONS.values(), PORTRAIT):
            yield from relation.captions
    words = sorted({colour.word for palette in PALETTES.values() for colour in palette.colours})
    papers = sorted({palette.paper.word for palette in PALETTES.values()})
    number = 0
    for kind in OBJECTS:
        for colour in words:
            for count in (1, 2):
                sight = Sight(
                    ((kind, colour, count), (kind, words[number % len(words)], count)),
                    papers[number % len(papers)],
                    list(BACKGROUNDS)[number % len(BACKGROUNDS)],
                    STYLES[number % len(STYLES)],
                )
                number += 1
                yield f"{describe(sight)[number % 3]}."


def _write_tokenizer(folder: Path) -> dict[str, int]:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [text.replace("<|im_start|>", "").replace("<|im_end|>", "") for text in sentences()]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL[1:]),
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    return {token: tokenizer.token_to_id(token) for token in SPECIAL}


def _config(tokens: dict[str, int]) -> dict[str, object]:
    text = {
        "model_type": "qwen2_5_vl_text",
        "hidden_act": "silu",
        "hidden_size": 192,
        "intermediate_size": 384,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10_000.0,
        "rope_scaling": {"type": "default", "rope_type": "default", "mrope_section": [4, 6, 6]},
        "vocab_size": VOCABULARY,
        "initializer_range": 0.02,
        "use_sliding_window": False,
        "bos_token_id": tokens["<|im_start|>"],
        "eos_token_id": tokens["<|im_end|>"],
        "tie_word_embeddings": True,
    }
    vision = {
        "model_type": "qwen2_5_vl",
        "hidden_act": "silu",
        "depth": 4,
        "hidden_size": 192,
        "intermediate_size": 320,
        "num_heads": 6,
        "in_channels": 3,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
        "tokens_per_second": 4,
        "window_size": SIDE,
        "fullatt_block_indexes": [0, 1, 2, 3],
        "out_hidden_size": 192,
        "initializer_range": 0.02,
    }
    return {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        "dtype": "bfloat16",
        "tie_word_embeddings": True,
        "vision_start_token_id": tokens["<|vision_start|>"],
        "vision_end_token_id": tokens["<|vision_end|>"],
        "image_token_id": tokens["<|image_pad|>"],
        "video_token_id": tokens["<|video_pad|>"],
        "text_config": text,
        "vision_config": vision,
    }


def _pixels() -> dict[str, object]:
    return {
        "image_processor_type": "Qwen2VLImageProcessor",
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "rescale_factor": 1 / 255,
        "resample": 3,
        "patch_size": PATCH,
        "merge_size": MERGE,
        "temporal_patch_size": 2,
        "min_pixels": (PATCH * MERGE) ** 2,
        "max_pixels": 12_845_056,
    }
