"""A captioner behind an endpoint: what it is sent is what the captioner here would see, so it says the same."""

from pathlib import Path

import pytest
from PIL import Image

from relsim.captions.caption_file import made_by
from relsim.captions.captioner import Captioner
from relsim.captions.endpoint_captioner import EndpointCaptioner
from relsim.captions.stream import Captioned, Plan, caption_records
from relsim.data.records import Failure, ImageRecord
from relsim.endpoint.cache import ReplyCache
from relsim.endpoint.client import Endpoint
from relsim.endpoint.messages import Message, Picture, describe, request_key
from relsim.endpoint.pace import Policy
from relsim.models.generation import Sampling
from relsim.models.pixels import Recipe
from relsim.models.prompt import CAPTION_PROMPT

GREEDY = Plan(Sampling(greedy=True, max_new_tokens=30))


@pytest.fixture
def server(chat_server, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with chat_server.ChatServer() as running:
        yield running


@pytest.fixture
def endpoint(server, tmp_path):
    def make(**settings):
        policy = Policy(concurrency=3, first_pause=0.01, tries=2, timeout=20.0)
        return Endpoint(server.url, "tiny", settings=settings, cache=ReplyCache(tmp_path / "replies"), policy=policy)

    return make


@pytest.fixture
def records(golden_pictures, tmp_path):
    """Files of six pictures, none of them a square of the recipe's side."""
    made = []
    for number, picture in enumerate(golden_pictures[:6]):
        path = tmp_path / f"{number}.png"
        picture.save(path)
        made.append(ImageRecord(f"{number}.png", str(path)))
    return made


def said(outcomes):
    return [outcome.text if isinstance(outcome, Captioned) else outcome for outcome in outcomes]


def test_server_with_the_same_weights_says_the_same(server, chat_server, endpoint, records):
    """The server runs the embedded captioner on the pictures as they arrive, with no recipe of its own."""
    serving = Captioner.load("relsim-mini-captioner", device="cpu", dtype="float32", recipe="native")
    here = Captioner.load("relsim-mini-captioner", device="cpu", dtype="float32")

    def answer(body):
        ((form, picture),) = chat_server.pictures(body)
        assert form == "image/png"
        assert body["messages"][0]["content"][1] == {"type": "text", "text": "Give the anonymous caption."}
        (caption,) = serving.caption(picture.convert("RGB"), greedy=True, max_new_tokens=body["max_tokens"])
        return caption.text

    server.text = answer
    there = EndpointCaptioner.like(endpoint(), "relsim-mini-captioner")
    expected = said(caption_records(records, here, GREEDY))
    assert len(set(expected)) > 1
    assert said(caption_records(records, there, GREEDY)) == expected


def test_pictures_arrive_as_the_recipe_makes_them(server, chat_server, endpoint, records):
    recipe = Recipe.parse("squash140")
    captioner = EndpointCaptioner(endpoint(), recipe=recipe)
    list(caption_records(records, captioner, GREEDY))
    sent = {picture.tobytes() for body in server.asked for _, picture in chat_server.pictures(body)}
    assert sent == {recipe.apply(Image.open(record.source).convert("RGB")).tobytes() for record in records}
    assert {body["messages"][0]["content"][1]["text"] for body in server.asked} == {CAPTION_PROMPT}


def test_settings_are_those_of_the_sampling(server, endpoint, records):
    captioner = EndpointCaptioner(endpoint(top_k=50, top_p=None))
    list(caption_records(records[:1], captioner, Plan(Sampling(temperature=0.5, seed=7, max_new_tokens=9), runs=3)))
    own = {"max_tokens": 9, "temperature": 0.5, "top_k": 50}
    assert [{name: body.get(name) for name in (*own, "top_p")} for body in server.asked] == [own | {"top_p": None}] * 3
    assert server.asked[0]["seed"] == 7
    assert len({body["seed"] for body in server.asked}) == 3
    list(caption_records(records[1:2], EndpointCaptioner(endpoint()), GREEDY))
    assert server.asked[-1]["temperature"] == 0
    assert not {"seed", "top_p"} & server.asked[-1].keys()


def test_one_picture_without_an_answer_is_a_failure_and_the_others_have_captions(
    server, chat_server, endpoint, records
):
    """The last record is refused every time; the others are not asked twice."""
    refused = Recipe.SQUASH448.apply(Image.open(records[-1].source).convert("RGB")).tobytes()

    def told(body):
        return "" if chat_server.pictures(body)[0][1].tobytes() == refused else "Growth of {Subject}"

    server.text = told
    found = said(caption_records(records, EndpointCaptioner(endpoint()), GREEDY))
    assert found[:-1] == ["Growth of {Subject}"] * 5
    assert isinstance(found[-1], Failure)
    assert found[-1].reason == "NoCaptionError: empty: an empty text"
    assert len(server.asked) == 6


def test_caption_that_is_not_anonymous_is_drawn_again(server, endpoint, records):
    answers = iter(["A dog on a lawn", "{Animal} on {Ground}"])
    server.text = lambda _: next(answers)
    (found,) = caption_records(records[:1], EndpointCaptioner(endpoint()), Plan(Sampling(), until_anonymous=2))
    assert (found.text, found.draws) == ("{Animal} on {Ground}", 2)
    assert server.asked[0]["seed"] != server.asked[1]["seed"]


def test_facts_tell_models_prompts_recipes_and_settings_apart(endpoint):
    plans = [
        made_by(EndpointCaptioner(endpoint()), GREEDY),
        made_by(EndpointCaptioner(endpoint(), recipe=Recipe.CROP448), GREEDY),
        made_by(EndpointCaptioner(endpoint(), prompt="Say it."), GREEDY),
        made_by(EndpointCaptioner(endpoint(top_k=5)), GREEDY),
        made_by(EndpointCaptioner(endpoint()), Plan(Sampling(seed=1))),
        made_by(EndpointCaptioner(endpoint()), Plan(Sampling(seed=2))),
    ]
    assert len({plan.digest for plan in plans}) == len(plans)


def test_answers_about_a_picture_as_png_are_not_those_about_a_jpeg(records):
    data = Path(records[0].source).read_bytes()
    keys = {
        request_key(describe((Message("user", (Picture(data, 448, lossless=form), "Say it.")),), "tiny", {}))
        for form in (False, True)
    }
    assert len(keys) == 2
