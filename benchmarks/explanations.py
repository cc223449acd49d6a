"""Do maps of attention and occlusion fall on what carries the relation, and do they tell what a similarity depends on?

    python benchmarks/explanations.py [--scenes 200] [--halves 100] [--curves 60] [--seed 4711]

Scenes of held-out objects and palettes, at 224 px, each with a partner that shows the same relation and nothing of the
look. The mask of a scene is exact (`relsim.world.scenes.coverage`). Scenes that cover more than half of the picture are
passed over: there is little else to look at. Chance is the mask's share of the area; a stricter one is the map of
another scene, since drawings stand in the middle of their paper more often than at its border. Intervals are 95 %,
by a bootstrap over scenes. Tables are Markdown, for docs/explain.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name the whole field uses

from relsim.encoders.relational import RelationalEncoder
from relsim.evaluation.agreement import bootstrap_groups
from relsim.evaluation.statistics import Estimate, bootstrap_difference, bootstrap_mean, wilson
from relsim.explain.faithfulness import Curve, curves, rank_correlation
from relsim.explain.occlusion import means_in, occlude, similarity_to
from relsim.models.attention import Map, spread
from relsim.models.embedded import DEFAULT
from relsim.models.loading import load_query_vlm
from relsim.models.pixels import Patches, normalized
from relsim.models.query_vlm import QueryVLM
from relsim.world.looks import Split
from relsim.world.palettes import PALETTES
from relsim.world.scenes import Scene, coverage, disguised, draw, like, scenes

SIZE, MOST_COVERED = 224, 0.5
CHOSEN = "mean of all layers"


@dataclass
class Masses:
    """For one kind of map, scene by scene: the mass on the mask, the mask under the maximum, the mask's area."""

    shares: list[float] = field(default_factory=list)
    points: list[float] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)

    def add(self, values: Map, mask: Map) -> None:
        """Count a map (H, W); what is below 0 has no mass. Of several maxima each counts alike."""
        positive = np.maximum(values, 0).astype(np.float64)
        total = positive.sum()
        self.shares.append(float((positive * mask).sum() / total) if total else float(mask.mean()))
        self.points.append(float(mask[np.isclose(values, values.max(), rtol=1e-6)].mean()))
        self.areas.append(float(mask.mean()))

    @property
    def ratio(self) -> Estimate:
        """The mean share of mass over the mean share of area, with its interval."""
        shares, areas = np.array(self.shares), np.array(self.areas)
        found = bootstrap_groups(lambda rows: float(shares[rows].mean() / areas[rows].mean()), range(len(shares)))
        assert found is not None
        return found


def held_out(seed: int) -> Iterator[tuple[Scene, Scene, Map]]:
    """Scenes with a partner and a mask, those with little paper left out."""
    for number, scene in enumerate(scenes(Split.OBJECTS, seed)):
        mask = coverage(scene, SIZE)
        if mask.mean() <= MOST_COVERED:
            yield scene, like(scene, np.random.default_rng([seed, number])), mask


def on_masks(encoder: RelationalEncoder, count: int, seed: int) -> None:
    """How much of a map lies on the drawing, for every way to make a map."""
    found: dict[str, Masses] = {}
    plain = load_query_vlm(DEFAULT, device="cpu", dtype="float32", engine="plain")
    before: dict[str, Map] = {}
    for scene, partner, mask in islice(held_out(seed), count + 1):
        image = draw(scene, SIZE).image
        target = encoder.encode([encoder.prepare(draw(partner, SIZE).image)])[0]
        patches = encoder.prepare(image)
        (looked,) = encoder.vlm.attention([patches])
        cells = {f"layer {number + 1}": layer for number, layer in enumerate(looked.weights.mean(axis=1))}
        cells |= {CHOSEN: looked.cells(), **transformers_maps(plain, patches, torch.from_numpy(target.copy()))}
        maps = {f"attention, {name}": whole(values, encoder.vlm, looked.grid) for name, values in cells.items()}
        maps["occlusion"] = occlude(image, encoder.vlm.recipe, similarity_to(encoder, target)).spread(SIZE, SIZE)
        for name in (f"attention, {CHOSEN}", "occlusion"):
            if before:
                found.setdefault(f"{name}, of another scene", Masses()).add(before[name], mask)
        limit = means_in(mask, encoder.vlm.recipe.seen(SIZE, SIZE), looked.grid)
        maps["the mask itself, on the cells of attention"] = whole(limit, encoder.vlm, looked.grid)
        if before:
            for name, values in maps.items():
                found.setdefault(name, Masses()).add(values, mask)
        before = maps
    head(f"{count} scenes", "mass on the mask, %", "its area, %", "ratio (95 %)", "maximum on the mask, % (95 %)")
    for name, masses in found.items():
        ratio, point = masses.ratio, bootstrap_mean(masses.points)
        row(
            name,
            f"{100 * np.mean(masses.shares):.1f}",
            f"{100 * np.mean(masses.areas):.1f}",
            f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})",
            percent(point),
        )


def on_halves(encoder: RelationalEncoder, count: int, seed: int) -> None:
    """Two scenes of one look in one picture, of which one has the partner's relation: does a map prefer that one?"""
    right: dict[str, list[float]] = {"attention": [], "occlusion": []}
    shares: dict[str, list[float]] = {"attention": [], "occlusion": []}
    areas: list[float] = []
    for number, (scene, partner, _) in enumerate(islice(held_out(seed + 1), count)):
        other = disguised(scene, np.random.default_rng([seed, number]))
        places = ((0, SIZE // 2), (SIZE, SIZE // 2))
        sheet = Image.new("RGB", (2 * SIZE, 2 * SIZE), PALETTES[scene.look.palette].paper.rgb)
        masks = []
        for shown, place in zip((scene, other), places if number % 2 else places[::-1], strict=True):
            sheet.paste(draw(shown, SIZE).image, place)
            mask = np.zeros((2 * SIZE, 2 * SIZE), np.float32)
            mask[place[1] : place[1] + SIZE, place[0] : place[0] + SIZE] = coverage(shown, SIZE)
            masks.append(mask)
        target = encoder.encode([encoder.prepare(draw(partner, SIZE).image)])[0]
        (looked,) = encoder.vlm.attention([encoder.prepare(sheet)])
        found = {
            "attention": spread(looked.cells(), *sheet.size, encoder.vlm.recipe),
            "occlusion": occlude(sheet, encoder.vlm.recipe, similarity_to(encoder, target)).spread(*sheet.size),
        }
        areas.append(float(masks[0].sum() / (masks[0].sum() + masks[1].sum())))
        for name, values in found.items():
            mine, others = (float((np.maximum(values, 0) * mask).sum()) for mask in masks)
            share = mine / (mine + others) if mine + others else areas[-1]
            shares[name].append(share)
            right[name].append(float(share > areas[-1]) + 0.5 * float(share == areas[-1]))
    head(
        f"{count} pictures of two scenes", "mass on the right one, %", "its area, %", "prefers it, % (95 %), chance 50"
    )
    for name, hits in right.items():
        row(
            name,
            percent(bootstrap_mean(shares[name])),
            f"{100 * np.mean(areas):.1f}",
            percent(wilson(sum(hits), len(hits))),
        )


def on_curves(encoder: RelationalEncoder, count: int, seed: int) -> None:
    """Rank correlation of the maps, and areas of deletion and insertion against orders of chance."""
    agreements: list[float] = []
    found: dict[str, list[Curve]] = {}
    for scene, partner, _ in islice(held_out(seed + 2), count):
        image = draw(scene, SIZE).image
        target = encoder.encode([encoder.prepare(draw(partner, SIZE).image)])[0]
        similarity = similarity_to(encoder, target)
        (looked,) = encoder.vlm.attention([encoder.prepare(image)])
        falls = occlude(image, encoder.vlm.recipe, similarity).spread(SIZE, SIZE)
        seen = encoder.vlm.recipe.seen(SIZE, SIZE)
        agreement = rank_correlation(looked.cells().astype(np.float64), means_in(falls, seen, looked.grid))
        agreements += [] if agreement is None else [agreement]
        maps = {"attention": spread(looked.cells(), SIZE, SIZE, encoder.vlm.recipe), "occlusion": falls}
        for name, curve in curves(image, encoder.vlm.recipe, similarity, maps, seed=seed).items():
            found.setdefault(name, []).append(curve)
    mean = bootstrap_mean(agreements)
    print(f"\nRank correlation of attention with occlusion: {mean.value:.2f} ({mean.low:.2f} to {mean.high:.2f})")
    head(f"{count} scenes", "area of deletion", "less than random by", "area of insertion", "more than random by")
    areas = {name: np.array([curve.areas for curve in rows]) for name, rows in found.items()}
    for name, values in areas.items():
        cells = []
        for column, sign in ((0, -1), (1, 1)):
            cells.append(f"{values[:, column].mean():.3f}")
            gain = bootstrap_difference(sign * values[:, column], sign * areas["random"][:, column])
            cells.append("-" if name == "random" else f"{gain.value:.3f} ({gain.low:.3f} to {gain.high:.3f})")
        row(name, *cells)


def transformers_maps(plain: QueryVLM, patches: Patches, target: Tensor) -> dict[str, NDArray[np.float32]]:
    """Maps that need the weights of all places, or a gradient, through transformers' eager attention.

    Rollout (S. Abnar and W. Zuidema, ACL 2020), and attention weighted by the positive part of the gradient of the
    similarity (H. Chefer, S. Gur and L. Wolf, ICCV 2021).
    """
    network = plain._forward._backbone  # type: ignore[attr-defined]  # noqa: SLF001 - a measurement of its inside
    network.set_attn_implementation("eager")
    count = len(patches.pixels) // plain.pixels.merge_size**2
    ids = torch.tensor([plain.prompt.ids(count)])
    output = network(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        # asking for the gradient of the pixels keeps the graph, and with it the gradients of the weights
        pixel_values=torch.from_numpy(normalized(patches, plain.pixels)).requires_grad_(),
        image_grid_thw=torch.tensor([[1, *patches.grid]]),
        mm_token_type_ids=(ids == plain.prompt.image).long(),
        use_cache=False,
        output_attentions=True,
    )
    weight, bias = plain.checkpoint.projection_weight.float(), plain.checkpoint.projection_bias.float()
    embedding = F.normalize(F.linear(output.last_hidden_state[0, -1], weight, bias), dim=-1)
    slopes = torch.autograd.grad(embedding @ target, output.attentions)
    image = slice(len(plain.prompt.prefix), len(plain.prompt.prefix) + count)
    rolled = torch.eye(ids.shape[1])
    weighted = torch.zeros(count)
    for attention, slope in zip(output.attentions, slopes, strict=True):
        rolled = (0.5 * attention[0].detach().mean(0) + 0.5 * torch.eye(len(rolled))) @ rolled
        weighted += (attention[0].detach() * slope[0]).clamp(min=0).mean(0)[-1, image]
    return {"rollout": rolled[-1, image].numpy(), "weighted by gradient": weighted.numpy()}


def whole(values: NDArray[np.float32] | NDArray[np.float64], vlm: QueryVLM, grid: tuple[int, int]) -> Map:
    """Cells as a map of the picture that adds up to 1."""
    cells = np.asarray(values, np.float32).reshape(grid)
    return spread(cells / max(float(cells.sum()), 1e-12), SIZE, SIZE, vlm.recipe)


def percent(estimate: Estimate) -> str:
    """An estimated share and its interval, in percent."""
    return f"{100 * estimate.value:.1f} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def head(*cells: str) -> None:
    """The first row of a table."""
    print()
    row(*cells)
    row(*("---" for _ in cells))


def row(*cells: str) -> None:
    """A row of a table, at once."""
    print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--halves", type=int, default=100)
    parser.add_argument("--curves", type=int, default=60)
    parser.add_argument("--seed", type=int, default=4711)
    options = parser.parse_args()
    encoder = RelationalEncoder(load_query_vlm(DEFAULT, device="cpu", dtype="float32"))
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("relsim", "torch", "transformers"))
    print(f"{DEFAULT} {encoder.fingerprint.digest[:12]}, {versions}, {time.strftime('%Y-%m-%d')}")
    parts: tuple[tuple[Callable[[RelationalEncoder, int, int], None], int], ...] = (
        (on_masks, options.scenes),
        (on_halves, options.halves),
        (on_curves, options.curves),
    )
    for part, count in parts:
        started = time.perf_counter()
        if count:
            part(encoder, count, options.seed)
            print(f"{part.__name__}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
