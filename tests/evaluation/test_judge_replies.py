"""The grammar of a judge's answers: what is a score, and what is none."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relsim.endpoint.replies import Reply, ReplyStatus, read_answer
from relsim.evaluation.judge_replies import ScoreStatus, read_reply, read_score

SCORES = {
    "8": 8,
    "8.5": 8.5,
    " 0 \n": 0,
    "10": 10,
    "8.": 8,
    "+8": 8,
    "`8`": 8,
    "Score: 8.5": 8.5,
    "score=7": 7,
    "Score: 7.": 7,
    "The rating is 7.": 7,
    "I'd give a score of 8.": 8,
    "10/10": 10,
    "10 / 10.": 10,
    "(8/10)": 8,
    "Score: **8**/10": 8,
    "**7** out of 10": 7,
    "7 out of ten": 7,
    "8 out of 10 because both grow": 8,
    "On a scale from 0 to 10, I'd give 8/10.": 8,
    "Score (0-10): 8": 8,
    "### Score\n8": 8,
    "A score of 10 means the same. Score: 7": 7,
    "Similarity score: 9/10\nReason: two of 3 things match": 9,
    "Score: 8, since 2 things move": 8,
    "Both show 3 stages. Score: 6. I repeat, score: 6": 6,
    '{"score": 7, "reason": "both grow"}': 7,
    '{"reason": "a scale of 3 to 4", "score": 7.5}': 7.5,
    '```json\n{"score": 7.5}\n```': 7.5,
    'Here it is: {"score": 4} I hope this helps.': 4,
    '{"score": "8"}': 8,
    '{"score": "8/10"}': 8,
    '{"score": 1e1}': 10,
    '{"score": 0}': 0,
}

UNPARSED = [
    "They look alike.",
    "I'd say 7 or 8",
    "I see 2 cats",
    "3 out of 10 elements correspond",
    "A score of 10 means the same.",
    "7-8",
    "7-8/10",
    "Score: 7-8",
    "Score: 7 to 8",
    "Score: 7 or 8",
    "Score: between 7 and 8",
    "7 or 8 out of 10",
    "Score: 8, 9",
    "8/10 or 9/10",
    "8\n9",
    "4/5",
    "Score: 4/5",
    "8 out of 100",
    "Score: 8 out of 100",
    "Score: 8/10/2",
    "80%",
    "Score: 80 %",
    "8,5",
    "Score: 8,5",
    "8.5.1",
    "Score: eight",
    "Score: v8",
    "Score 1: 8",
    "8th",
    "2024-05-01",
    "[8]",
    '{"score": "high"}',
    '{"score": "7 or 8"}',
    '{"score": true}',
    '{"score": null}',
    '{"score": [8]}',
    '{"score": NaN}',
    '{"score": Infinity}',
    '{"score": 7, "score": 8}',
    '{"score": 7} {"score": 8}',
    '{"score": 1',
    '{"rating": 8, "scores": 7}',
    '{"score":' + "[" * 5000,
]

OUT_OF_RANGE = ["11", "-1", "\u22121", "10.01", "100/10", "Score: -1", "1" * 400, '{"score": 85}', '{"score": -0.5}']

REFUSED = [
    "I'm sorry, but I can't help with that.",
    "I\u2019m sorry, I can\u2019t assist with this request.",
    "I cannot rate these images.",
    "As an AI, I'm unable to compare these.",
    "I must decline to judge them.",
]


@pytest.mark.parametrize(("text", "score"), SCORES.items())
def test_a_score_that_is_certain_is_read(text, score):
    verdict = read_score(text)
    assert (verdict.status, verdict.score) == (ScoreStatus.OK, score)


@pytest.mark.parametrize("text", UNPARSED)
def test_what_is_not_certain_is_no_score(text):
    verdict = read_score(text)
    assert (verdict.status, verdict.score) == (ScoreStatus.UNPARSED, None)
    assert verdict.reason


@pytest.mark.parametrize("text", OUT_OF_RANGE)
def test_a_number_beyond_the_scale_is_told_as_such(text):
    assert (read_score(text).status, read_score(text).score) == (ScoreStatus.OUT_OF_RANGE, None)


@pytest.mark.parametrize("text", REFUSED)
def test_a_refusal_in_words_is_one(text):
    assert (read_score(text).status, read_score(text).score) == (ScoreStatus.REFUSED, None)


def test_the_reason_of_json_is_kept():
    assert read_score('{"score": 7, "reason": "both grow"}').reason == "both grow"


@given(st.decimals(0, 10, places=2), st.sampled_from(["{}", "Score: {}", "{}/10", "{} out of 10.", '{{"score": {}}}']))
def test_every_number_on_the_scale_is_read_as_it_is_in_every_form(number, form):
    assert read_score(form.format(number)).score == float(number)


@given(st.integers(0, 10), st.integers(0, 10), st.sampled_from(["{}-{}", "{} or {}", "Score: {} to {}", "{} {}"]))
def test_two_numbers_are_never_one_score(first, second, form):
    assert read_score(form.format(first, second)).score is None


@given(st.text(st.sampled_from("0123456789./- ,scoreSCORE:{}\"'%*\nou tf"), max_size=40))
@example("score: 1\u0660")
def test_whatever_comes_ends_with_a_score_on_the_scale_or_a_reason(text):
    verdict = read_score(text)
    if verdict.status is ScoreStatus.OK:
        assert 0 <= verdict.score <= 10
    else:
        assert verdict.score is None
        assert verdict.reason


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"message": {"content": "8"}, "finish_reason": "stop"}, "ok"),
        ({"message": {"content": "1"}, "finish_reason": "length"}, "truncated"),
        ({"message": {"content": "8", "refusal": "no"}}, "refused"),
        ({"message": {"content": "8"}, "finish_reason": "content_filter"}, "refused"),
        ({"message": {"content": ""}}, "unparsed"),
        ({"message": {"content": 8}}, "endpoint_error"),
        ({}, "endpoint_error"),
    ],
)
def test_an_answer_ends_by_what_came(body, status):
    raw = json.dumps({"choices": [body]})
    verdict = read_reply(read_answer("k", raw, asked="", seconds=0))
    assert verdict.status.value == status
    assert (verdict.score is not None) == (status == "ok")


@pytest.mark.parametrize("status", [status for status in ReplyStatus if not status.answered])
def test_no_answer_is_an_error_of_the_endpoint(status):
    verdict = read_reply(Reply("k", status, "why"))
    assert (verdict.status, verdict.reason) == (ScoreStatus.ENDPOINT_ERROR, f"{status.value}: why")
