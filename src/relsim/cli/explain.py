"""`relsim explain`: why two images are alike, as one picture and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relsim.cli import options, specs
from relsim.cli.output import emit, note, print_json
from relsim.errors import RelsimError, SourceError
from relsim.models.embedded import DEFAULT, DEFAULT_ATTRIBUTES, DEFAULT_CAPTIONER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL import Image

    from relsim.captions.captioner import Captioner
    from relsim.encoders.base import AnyEncoder
    from relsim.explain.nearest import NearCaption
    from relsim.explain.pair import Axis, Explanation

_NONE = "none"


def explain(
    first: Annotated[str, typer.Argument(metavar="A", help="An image file.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="The picture: .png, .pdf or .svg. Its data goes beside it, as .json."
        ),
    ] = None,
    maps: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The maps on the images' own pixels, as an .npz file.")
    ] = None,
    captions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Captions to look for the nearest in: a manifest (.jsonl), or a text with one in each line. "
            "Default: one of each drawn relation.",
        ),
    ] = None,
    nearest: Annotated[int, typer.Option(metavar="N", min=1, help="Captions nearest to each image and to both.")] = 5,
    towards: Annotated[
        str | None,
        typer.Option(metavar="SENTENCE", help="Let occlusion ask about a sentence, in place of the other image."),
    ] = None,
    attributes: Annotated[
        str | None,
        typer.Option(
            metavar="CHECKPOINT|ENCODER",
            help="The axis of looks: a checkpoint, an encoder such as clip or descriptors:side=128, or none. "
            f"Default: {DEFAULT_ATTRIBUTES} beside {DEFAULT}, else none.",
        ),
    ] = None,
    captioner: Annotated[
        str | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="Who says a sentence of each image, or none. "
            f"Default: {DEFAULT_CAPTIONER} beside {DEFAULT}, else none.",
        ),
    ] = None,
    steps: Annotated[int, typer.Option(metavar="N", min=2, help="Places of the patch along each side.")] = 7,
    patch: Annotated[float, typer.Option(metavar="SHARE", help="Side of the patch as a share of the image's.")] = 0.25,
    quick: Annotated[bool, typer.Option("--quick", help="Leave deletion and insertion away: half the time.")] = False,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="A line above the picture.")] = None,
    checkpoint: options.Checkpoint = None,
    base_model: options.BaseModel = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    recipe: options.Recipe = None,
    as_json: options.AsJson = False,
) -> None:
    """Show why two images are alike: where the model looks, what it depends on, and which sentences are near.

    Attention says where the query token reads. Occlusion covers parts of an image and tells how far the similarity
    falls. docs/explain.md says how far to trust each.
    """
    from relsim.captions.anonymity import check
    from relsim.evaluation.result_files import write_json
    from relsim.explain.nearest import read_captions
    from relsim.explain.pair import Settings
    from relsim.figures.style import save
    from relsim.models.eight_bits import ROUNDINGS

    written = _written(out, maps, [first, second])
    if not 0 < patch < 1:
        raise RelsimError(f"--patch {patch}: its side is a share of the image's, more than 0 and less than 1")
    bank = None if captions is None else read_captions(captions)
    images = _read(first), _read(second)
    given = options.with_environment(options.model_options(checkpoint, base_model, device, dtype, recipe))
    beside = given["checkpoint_dir"] == DEFAULT
    placed = {name: value for name, value in (("device", device), ("dtype", dtype)) if value is not None}
    writing = {name: value for name, value in placed.items() if value not in ROUNDINGS}  # captioners have no 8 bits
    model = options.load_model(given)
    found = model.explain(
        *images,
        names=(first, second),
        attributes=_attributes(attributes or (DEFAULT_ATTRIBUTES if beside else _NONE), placed),
        writer=_captioner(captioner or (DEFAULT_CAPTIONER if beside else _NONE), writing),
        check=check,
        settings=Settings(steps=steps, share=patch, curves=not quick, towards=towards, captions=bank, count=nearest),
    )
    document = found.to_json()
    if maps is not None:
        _save_maps(found, maps)
    if out is not None:
        save(found.figure(title=title), out)
        write_json(out.with_suffix(".json"), document)
    if as_json:
        print_json(document)
        return
    _print(found)
    for path in written:
        note(f"wrote {path}")


def _written(out: Path | None, maps: Path | None, sources: list[str]) -> list[Path]:
    """The files that will be written, refused before anything is loaded where they cannot be."""
    from relsim.figures.style import suffix_of

    if out is not None:
        suffix_of(out)
    if maps is not None and maps.suffix != ".npz":
        raise RelsimError(f"--maps {maps}: end its name in .npz")
    paths = [path for path in (out, out and out.with_suffix(".json"), maps) if path is not None]
    for path in paths:
        options.check_target(path, sources, example="explain.png")
    if out is not None:
        options.check_document(out.with_suffix(".json"), "explain")
    return paths


def _read(source: str) -> Image.Image:
    from relsim.data.images import load_image
    from relsim.data.records import Failure, ImageRecord
    from relsim.errors import ImageError

    if source == "-" or Path(source).is_dir():
        raise SourceError(f"{source} is no image file; relsim explain takes two")
    loaded = load_image(ImageRecord(source, source))
    if isinstance(loaded, Failure):
        raise ImageError(loaded.status.value, f"{source}: {loaded.reason}")
    return loaded.image


def _attributes(name: str, placed: Mapping[str, str]) -> AnyEncoder | None:
    """The encoder of looks: a checkpoint that is here or embedded, else an encoder by its spec."""
    from relsim.encoders.registry import load_encoder, options_of
    from relsim.evaluation.encoder_specs import EncoderSpec
    from relsim.models.embedded import embedded_folder

    if name == _NONE:
        return None
    if embedded_folder(name) is not None or Path(name).is_dir():
        return load_encoder("relational", checkpoint_dir=name, **placed)
    spec = EncoderSpec.parse(name)
    takes = options_of(spec.name)
    encoder, _ = specs.load_spec(spec, {option: value for option, value in placed.items() if option in takes})
    return encoder


def _captioner(name: str, placed: Mapping[str, Any]) -> Captioner | None:
    from relsim.captions.captioner import Captioner

    return None if name == _NONE else Captioner.load(name, **placed)


def _save_maps(found: Explanation, path: Path) -> None:
    import io

    import numpy as np

    from relsim.evaluation.result_files import write_whole

    data = io.BytesIO()
    np.savez_compressed(data, **found.maps())  # type: ignore[arg-type]  # numpy takes names for its own option
    write_whole(path, data.getvalue())


def _print(found: Explanation) -> None:
    """Scores and sentences as text; the maps are for the picture."""
    emit(_score("relational", found.relational))
    if found.attribute is not None:
        emit(_score("attribute", found.attribute))
    for title, near in (
        ("nearest to both", found.captions.shared),
        ("nearest to A", found.captions.first),
        ("nearest to B", found.captions.second),
    ):
        emit(f"\n{title}, of {found.captions.bank:,} captions")
        for caption in near:
            emit(_caption(caption))
    for letter, picture in zip("AB", found.pictures, strict=True):
        if picture.said is not None:
            verdict = "anonymous" if picture.said.anonymous else f"names {', '.join(picture.said.names)}"
            emit(f"\nthe captioner of {letter}: {_shown(picture.said.caption)} ({_shown(verdict)})")
    for letter, picture in zip("AB", found.pictures, strict=True):
        agreement = "unknown" if picture.agreement is None else f"{picture.agreement:+.2f}"
        emit(f"\nmaps of {letter}: rank correlation of attention and occlusion {agreement}")
        for name, curve in picture.curves.items():
            deletion, insertion = curve.areas
            emit(f"  {name:9}  deletion {deletion:.3f}  insertion {insertion:.3f}")


def _score(name: str, axis: Axis) -> str:
    percentile = "" if axis.percentile is None else f"  (above {axis.percentile:.1f} % of unrelated pairs)"
    return f"{name:10} {axis.score:7.4f}{percentile}"


def _caption(caption: NearCaption) -> str:
    return f"  {caption.score:6.3f}  {_shown(caption.caption)}"


def _shown(text: str) -> str:
    from relsim.data.identity import printable

    return printable(text)
