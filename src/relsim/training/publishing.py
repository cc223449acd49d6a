"""From the network of a run to a checkpoint folder that scoring, captioning, peft and the published code can load.

    tune lora         the published layout: adapter, projection, processor files (a captioner has no projection);
                      so for tuned CLIP and DINO, whose image processor then leaves squares of the recipe as they are
    tune all, head    a whole model: config.json, model.safetensors, projection.safetensors, processor files

An embedding table that training changed (a learned query row, a row for a new token) is saved with the adapter, and
the head with it, as peft does: the published loader shrinks both to the tokenizer's length, so they are cut to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from relsim.captions.checkpoint import FILTER_KIND
from relsim.errors import TrainingError
from relsim.models.checkpoint import Checkpoint
from relsim.models.checkpoint_writing import write_adapter, write_checkpoint, write_tower, write_whole_model
from relsim.models.metadata import FORMAT_VERSION
from relsim.models.prompt import QUERY_TOKEN, load_tokenizer
from relsim.training.image_towers import TowerNetwork
from relsim.training.network import PRECISIONS, TrainingNetwork
from relsim.training.objectives import yes_bias

_MODEL = "base_model.model."


def write_network(
    folder: Path,
    network: TrainingNetwork,
    *,
    training: Mapping[str, Any],
    texts: Mapping[str, str],
    null_distribution: Mapping[str, Any] | None = None,
) -> None:
    """Write the network as it is; all of it or nothing.

    `training` becomes the record of `relsim.json`, and a metric's `null_distribution` stands beside it.
    """
    if isinstance(network, TowerNetwork):
        _write_tower(folder, network, training, texts)
        return
    lora = network.config.model.tune == "lora"
    if network.projection is not None:
        config, adapter = _adapter(network) if lora else ({}, {})
        checkpoint = Checkpoint(
            projection_weight=network.projection.weight.detach(),
            projection_bias=network.projection.bias.detach(),
            query_token_id=network.prompt.query,
            adapter_config=config,
            adapter=adapter,
            recipe=network.recipe,
            query_token=QUERY_TOKEN,
            training=training,
            null_distribution=null_distribution,
        )
        if lora:
            write_checkpoint(folder, checkpoint, network.processor, texts=texts)
        else:
            _write_whole(folder, network, checkpoint, texts)
        return
    about: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "task": network.config.objective.task,
        "recipe": network.recipe.value,
        "caption_prompt": network.config.model.prompt,
        "training": dict(training),
    }
    if network.config.objective.task == "yes_no":
        about |= {"kind": FILTER_KIND, "yes_bias": yes_bias(network.config.objective.positive_weight)}
    if lora:
        config, adapter = _adapter(network)
        write_adapter(folder, config, adapter, network.processor, about=about, texts=texts)
    else:
        _write_whole(folder, network, about, texts)


def _write_tower(folder: Path, network: TowerNetwork, training: Mapping[str, Any], texts: Mapping[str, str]) -> None:
    config, adapter = _adapter(network)
    about = {
        "format_version": FORMAT_VERSION,
        "kind": f"tuned-{network.tower}",
        "recipe": network.recipe.value,
        "training": dict(training),
    }
    weight, bias = (tensor.detach() for tensor in network.projection.parameters())
    write_tower(
        folder, config, adapter, (weight, bias), network.processor, network.preprocessor, about=about, texts=texts
    )


def _write_whole(
    folder: Path, network: TrainingNetwork, about: Checkpoint | Mapping[str, Any], texts: Mapping[str, str]
) -> None:
    storage = PRECISIONS[network.config.model.storage]
    with _row_in_table(network):
        write_whole_model(folder, network.model, network.processor, dtype=storage, about=about, texts=texts)


@contextmanager
def _row_in_table(network: TrainingNetwork) -> Iterator[None]:
    """The learned query row stands in the frozen table inside."""
    if network.query_row is None:
        yield
        return
    table = network.model.get_input_embeddings().weight.data
    before = table[network.prompt.query].clone()
    table[network.prompt.query] = network.query_row.detach().to(table.dtype)
    try:
        yield
    finally:
        table[network.prompt.query] = before


def _adapter(network: TrainingNetwork) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and tensors of the adapter under peft's names."""
    from peft import get_peft_model_state_dict

    peft_config = network.adapted.peft_config["default"]
    config: dict[str, Any] = peft_config.to_dict()
    base = Path(network.config.model.base).expanduser()
    config |= {
        "base_model_name_or_path": str(base.resolve()) if base.is_dir() else network.config.model.base,
        "inference_mode": True,
    }
    tensors: dict[str, Tensor] = get_peft_model_state_dict(network.adapted, save_embedding_layers=False)
    adapter = {name: tensor.detach().float() for name, tensor in tensors.items()}
    if not adapter:
        raise TrainingError("the adapter has no tensors; model.lora.targets names no linear layer of the base")
    if network.query_row is not None or network.resized:
        with _row_in_table(network):
            rows = len(load_tokenizer(network.processor))
            head, table = network.model.lm_head.weight, network.model.get_input_embeddings().weight
            adapter[f"{_MODEL}model.language_model.embed_tokens.weight"] = table.detach()[:rows].clone()
            adapter[f"{_MODEL}lm_head.weight"] = head.detach()[:rows].clone()
    return config, adapter
