"""`relsim caption --endpoint`: a captioner that runs behind an OpenAI-compatible address."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from relsim.cli import asking

if TYPE_CHECKING:
    from relsim.captions.endpoint_captioner import EndpointCaptioner


def endpoint_captioner(
    address: str,
    model: str,
    *,
    settings: dict[str, Any],
    limits: dict[str, Any],
    key_variable: str,
    replies: Path,
    checkpoint: str | None,
    recipe: str | None,
) -> EndpointCaptioner:
    """The captioner of these options, with recipe and question of `checkpoint`, else the published ones."""
    from relsim.captions.endpoint_captioner import EndpointCaptioner
    from relsim.models.checkpoint import parse_recipe
    from relsim.models.pixels import Recipe

    asked = asking.open_endpoint(
        address,
        model,
        settings=settings,
        limits=limits,
        key_variable=key_variable,
        replies=replies,
        ask_again=False,
    )
    own = None if recipe is None else parse_recipe(recipe, source="--recipe")
    if checkpoint is not None:
        return EndpointCaptioner.like(asked, checkpoint, recipe=own)
    return EndpointCaptioner(asked, recipe=own or Recipe.SQUASH448)
