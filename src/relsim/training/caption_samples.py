"""What a captioner in training writes about a few pictures, the same ones at every time, held out and trained on.

`samples.jsonl` in the run's folder has one line for each picture and time:

    {"step", "part" (held_out or trained), "image_id", "group", "captions" (the true ones),
     "greedy": {"caption", "anonymous", "findings"}, "drawn": {the same}}

`samples.html` shows the same with the pictures (see `sample_page.py`), and trackers get it as a table or as text.
Writing samples leaves the run as it was: the weights are those of a run without them, bit for bit. A run that goes on
drops what came after the state it goes on from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from relsim.captions.anonymity import check
from relsim.captions.checkpoint import stop_tokens
from relsim.captions.group_files import findings_of
from relsim.data.curation.splits import unit
from relsim.errors import TrainingError
from relsim.models.generation import TOP_K, AnswerDecoder, Sampling
from relsim.models.pixels import Patches, cut_squares
from relsim.training.config import TrainingConfig
from relsim.training.crops import Squares
from relsim.training.feed import Data, Part
from relsim.training.network import TrainingNetwork
from relsim.training.sample_page import write_page
from relsim.training.tracking import RunLog, keep_lines, read_log

SAMPLES, PAGE = "samples.jsonl", "samples.html"
HELD_OUT, TRAINED = "held_out", "trained"


class CaptionSamples:
    """Captions of the fixed pictures of a run; for the first of several processes."""

    def __init__(self, config: TrainingConfig, network: TrainingNetwork, data: Data, log: RunLog) -> None:
        if network.answers is None:
            raise TrainingError("this network was made for the metric; it writes no captions")
        self._config, self._network, self._log = config, network, log
        self._path, self._page = config.run.out / SAMPLES, config.run.out / PAGE
        self._parts = {TRAINED: data.train} | ({} if data.held_out is None else {HELD_OUT: data.held_out})
        counts = {HELD_OUT: config.samples.held_out, TRAINED: config.samples.trained}
        self._chosen = [
            (name, row)
            for name, count in counts.items()
            if name in self._parts
            for row in choose(self._parts[name], count, config.run.seed)
        ]
        self._tokenizer = network.answers.tokenizer
        model = network.model.get_base_model() if hasattr(network.model, "get_base_model") else network.model
        options = model.generation_config
        self._decoder = AnswerDecoder(
            model,
            network.pixels,
            network.prompt,
            {network.answers.end[0], *stop_tokens(model, self._tokenizer, network.base)},
            repetition_penalty=options.repetition_penalty or 1.0,
            top_k=TOP_K if options.top_k is None else options.top_k,
        )

    def begin(self, step: int) -> None:
        """Keep what was written up to a step."""
        keep_lines(self._path, step)

    def write(self, step: int) -> None:
        """Write captions of all pictures as after `step` steps, to the files and to the trackers."""
        if not self._chosen:
            return
        squares = [self._square(*place) for place in self._chosen]
        pictures = [
            Patches(cut_squares(square[None], self._network.pixels)[0], self._network.grid) for square in squares
        ]
        settings = self._config.samples
        with self._network.evaluating():
            said = [
                self._said(
                    pictures, Sampling(greedy, settings.max_new_tokens, settings.temperature, settings.top_p, seed)
                )
                for greedy, seed in ((True, 0), (False, self._config.run.seed))
            ]
        rows = [
            self._about(*place) | {"greedy": greedy, "drawn": drawn}
            for place, greedy, drawn in zip(self._chosen, *said, strict=True)
        ]
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps({"step": step, **row}, ensure_ascii=False) + "\n" for row in rows)
        except OSError as error:
            raise TrainingError(f"{self._path} cannot be written: {error}") from error
        write_page(self._page, self._config.run.out.name, read_log(self._path), self._find)
        self._log.show_samples(step, rows, squares)

    def _said(self, pictures: Sequence[Patches], sampling: Sampling) -> list[dict[str, Any]]:
        # In one batch and not in lanes, whose threads would change how torch splits the sums of the next step.
        texts: list[str] = [
            self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            for ids in self._decoder(pictures, sampling)
        ]
        verdicts = map(check, texts)
        return [
            {"caption": text, "anonymous": verdict.ok, "findings": findings_of(verdict)}
            for text, verdict in zip(texts, verdicts, strict=True)
        ]

    def _about(self, name: str, row: int) -> dict[str, Any]:
        part = self._parts[name]
        number = int(part.rows[row])
        store = part.store
        return {
            "part": name,
            "image_id": store.image_ids[number],
            "group": store.groups[number],
            "captions": list(store.captions[number]),
        }

    def _square(self, name: str, row: int) -> Squares:
        part = self._parts[name]
        square: Squares = part.store.read(part.rows[row : row + 1])[0]
        return square

    def _find(self, name: str, image_id: str) -> Squares | None:
        """The square of a picture that a line tells of, if the run still has it."""
        part = self._parts.get(name)
        ids = [] if part is None else part.image_ids
        return self._square(name, ids.index(image_id)) if image_id in ids else None


def choose(part: Part, count: int, seed: int) -> list[int]:
    """Up to `count` rows of a part, of different groups as far as there are any; the seed and the ids decide."""
    image_ids, groups = part.image_ids, part.groups
    order = sorted(range(len(part)), key=lambda row: unit(seed, image_ids[row]))
    seen: set[str] = set()
    first: list[int] = []
    others: list[int] = []
    for row in order:
        group = groups[row]
        (others if group in seen else first).append(row)
        seen |= set() if group is None else {group}
    return [*first, *others][:count]
