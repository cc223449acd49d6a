"""The model card that stands beside each checkpoint: what it is, how it was made, how good it is, where it ends.

A card is README.md with a YAML header, as the Hugging Face Hub reads it. Every statement follows from the configuration
and the record of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from relsim._version import __version__
from relsim.training.config import TrainingConfig
from relsim.training.feed import Data
from relsim.training.network import TrainingNetwork

_WHAT = {
    "metric": (
        "Relational image similarity: pictures become unit vectors of 384 numbers in the space of "
        "[all-MiniLM-L6-v2](https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2), near the captions that "
        "state their logic and near pictures that share it."
    ),
    "caption": "A captioner: it writes the caption that a picture was trained to be answered with.",
    "yes_no": "A filter: it answers a question about a picture with Yes or No.",
}
_TUNED = {
    "lora": "LoRA adapters (rank {r}, alpha {alpha}, dropout {dropout}) on {targets}; the base model is frozen",
    "all": "all weights of the language model{vision}",
    "head": "the projection alone; the base model is frozen",
}
_OPTIMIZERS = {"adamw": "AdamW", "muon": "Muon for hidden matrices, AdamW for the rest"}
_LICENCE = (
    "The weights follow the licences of the base model and of the data they were trained on, which this card cannot "
    "know. The program that trained them is MIT-licensed."
)
_FIGURES = {
    "r@1": "own caption ranked first among all captions of the held-out part",
    "r@10": "own caption among the first ten",
    "mrr": "mean reciprocal rank of the own caption",
    "p@10": "share of the ten nearest pictures that are of the same group",
    "loss": "loss in nats",
    "token_loss": "loss of an answer's token in nats",
    "token_accuracy": "share of the answers' tokens that are predicted first",
    "accuracy": "share of right answers",
}


def model_card(
    config: TrainingConfig, network: TrainingNetwork, data: Data, *, step: int, metrics: Mapping[str, float]
) -> str:
    """The text of README.md for the checkpoint after `step` steps; `metrics` are the last held-out figures."""
    parts = [
        _header(config),
        f"# {config.run.out.name}: {config.objective.task} checkpoint after {step:,} steps",
        _WHAT[config.objective.task],
        "## How to load it",
        _loading(config, network),
        "## How it was trained",
        _table(_recipe(config, network, data, step)),
        "## How good it is",
        _metrics(metrics, data),
        "## Limits",
        _limits(config),
        "## Licence",
        _LICENCE,
    ]
    return "\n\n".join(parts) + "\n"


def _header(config: TrainingConfig) -> str:
    lines = ["---", "library_name: relsim", "pipeline_tag: image-feature-extraction"]
    if config.objective.task != "metric":
        lines[-1] = "pipeline_tag: image-to-text"
    if not Path(config.model.base).expanduser().exists():
        lines.append(f"base_model: {config.model.base}")
    if config.model.tune == "lora":
        lines.append("tags: [peft, lora, relational-similarity]")
    return "\n".join([*lines, "---"])


def _loading(config: TrainingConfig, network: TrainingNetwork) -> str:
    if network.tower is not None:
        return (
            "```python\nfrom relsim.encoders.registry import load_encoder\n"
            "from relsim.encoders.stream import encode_images\n\n"
            f'encoder = load_encoder("tuned-{network.tower}", checkpoint_dir="path/to/this/folder")\n'
            "vectors = encode_images(encoder, [first, second])  # (2, 384)\n"
            "score = vectors[0] @ vectors[1]\n```"
        )
    if config.objective.task == "metric":
        return (
            "```python\nfrom relsim import relsim\n\n"
            'model, preprocess = relsim(checkpoint_dir="path/to/this/folder")\n'
            "score = model(preprocess(first), preprocess(second))\n```"
        )
    if config.objective.task == "caption":
        return (
            "```python\nfrom relsim.captions.captioner import Captioner\n\n"
            'captioner = Captioner.load("path/to/this/folder")\n'
            "caption = captioner.caption(picture)[0].text\n```"
        )
    return (
        "```python\nfrom relsim.captions.interesting import InterestingFilter\n\n"
        'interesting = InterestingFilter.load("path/to/this/folder")\n'
        "probability = interesting.probabilities(picture)[0]  # of the answer Yes\n```\n\n"
        "`relsim.json` holds the question that it answers."
    )


def _recipe(config: TrainingConfig, network: TrainingNetwork, data: Data, step: int) -> dict[str, str]:
    model, optimizer, objective = config.model, config.optimizer, config.objective
    lora = model.lora
    tuned = _TUNED[model.tune].format(
        r=lora.r,
        alpha=f"{lora.alpha:g}",
        dropout=lora.dropout,
        targets=", ".join(lora.targets),
        vision=" and the vision tower" if model.vision_tuned else "; the vision tower is frozen",
    )
    held_out = 0 if data.held_out is None else len(data.held_out)
    rate = f"{optimizer.learning_rate:g} ({optimizer.schedule}, {optimizer.warmup_steps} warm-up steps)"
    rows = {
        "base model": f"{model.base}{' (weights drawn at random)' if model.init == 'random' else ''}",
        "trained": f"{tuned}{'; the query row' if model.train_query_row else ''} ({len(network.flat):,} numbers)",
        "pictures": f"{len(data.train):,} for training, {held_out:,} held out, {model.recipe}{_skipped(data)}",
        "objective": _objective(config) if objective.task == "metric" else "next-token loss of the answer",
        "optimizer": f"{_OPTIMIZERS[optimizer.kind]}, learning rate {rate}, weight decay {optimizer.weight_decay:g}, "
        f"betas {optimizer.betas}, clip {optimizer.clip}",
        "batch": f"{optimizer.batch_size:,} pictures; {step:,} steps",
        "precision, seed": f"{config.run.precision}, {config.run.seed}",
        "program": f"relsim {__version__}; all settings are in relsim.json under training",
    }
    if objective.task == "yes_no":
        rows["objective"] = "yes against no"
    return rows


def _skipped(data: Data) -> str:
    counts = data.skipped
    if not counts:
        return ""
    by_status = ", ".join(f"{count:,} {status}" for status, count in counts.items())
    return f"; skipped: {sum(counts.values()):,} ({by_status})"


def _objective(config: TrainingConfig) -> str:
    objective = config.objective
    parts = [
        "InfoNCE, image to text and back" if objective.two_directional else "InfoNCE, image to text",
        f"temperature {objective.temperature:g}{' at first, learned' if objective.learn_temperature else ''}",
    ]
    if objective.mask_groups:
        parts.append("texts of the same group masked")
    if objective.mask_similarity is not None:
        parts.append(f"texts with a cosine of {objective.mask_similarity:g} or more masked")
    return ", ".join(parts)


def _metrics(metrics: Mapping[str, float], data: Data) -> str:
    if data.held_out is None:
        return "Nothing was held out in training, so nothing was measured."
    if not metrics:
        return "Not measured yet at this step."
    rows = {f"{name}: {_FIGURES.get(name, '')}": f"{value:.4f}" for name, value in metrics.items()}
    return f"On {len(data.held_out):,} held-out pictures, as last measured in training:\n\n" + _table(rows)


def _limits(config: TrainingConfig) -> str:
    general = (
        "What it knows is what its pictures and captions showed; on other kinds of pictures its figures say nothing. "
        f"Pictures must be prepared as in training ({config.model.recipe}); the loader does so."
    )
    if config.objective.task != "metric":
        return general
    return (
        f"{general} Scores order pictures. What one means by itself, the scores of unrelated pairs say: relsim.json "
        "holds those of the held-out part where it was large enough; `relsim calibrate` measures any collection's."
    )


def _table(rows: Mapping[str, str]) -> str:
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(["| | |", "| --- | --- |", *lines])
