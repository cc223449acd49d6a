"""Processor files of a base that lacks the query token."""

import json

from relsim.models.prompt import QUERY_TOKEN, load_tokenizer
from relsim.training.prompts import prepare_processor


def test_processor_files_are_written_as_transformers_4_reads_them(golden, tmp_path):
    """Its tokenizers take `extra_special_tokens` for an object and fail on the list that transformers 5 writes."""
    folder = prepare_processor(golden / "base", tmp_path / "processor")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    assert not isinstance(config.get("extra_special_tokens"), list)
    assert QUERY_TOKEN in config["additional_special_tokens"]
    tokenizer = load_tokenizer(folder)
    assert tokenizer.convert_tokens_to_ids(QUERY_TOKEN) == len(load_tokenizer(golden / "base"))
    assert tokenizer(f"a{QUERY_TOKEN}b", add_special_tokens=False)["input_ids"].count(len(tokenizer) - 1) == 1
