"""Questions to a real local server, with every fault that a server has."""

import asyncio
import gc
import json
import logging
import socket
import threading
import time

import pytest

from relsim.endpoint.cache import ReplyCache
from relsim.endpoint.client import Endpoint, key_of_environment, usage_of
from relsim.endpoint.messages import Message, Picture, Question
from relsim.endpoint.replies import Prices, ReplyStatus, Usage
from relsim.errors import EndpointError, ImageError


def ended(reply):
    return reply.status.value, reply.text


class TestAsking:
    """What is sent, and what comes back."""

    def test_a_question_is_sent_as_chat_completions_take_it(self, server, endpoint, question):
        reply = endpoint(settings={"temperature": 0, "seed": 7, "top_k": 1}).ask(question("What is shared?"))
        assert ended(reply) == ("ok", "Growth of {Subject} over time")
        assert server.asked == [
            {
                "model": "tiny-vlm",
                "messages": [{"role": "user", "content": "What is shared?"}],
                "temperature": 0,
                "seed": 7,
                "top_k": 1,
            }
        ]
        assert (reply.model, reply.usage, reply.kept) == ("tiny-vlm", Usage(1000, 20), False)

    def test_the_temperature_is_0_by_default(self, server, endpoint, question):
        endpoint().ask(question("?"))
        assert server.asked[0]["temperature"] == 0

    def test_pictures_are_sent_upright_in_rgb_within_the_cap(self, server, chat_server, endpoint, question, file_of):
        big, small = Picture(file_of(1200, 400, "blue"), 300), Picture(file_of(40, 30, (255, 0, 0, 9), "RGBA"), 300)
        endpoint().ask((Message("system", ("Be brief.",)), *question("?", big, small)))
        system, user = server.asked[0]["messages"]
        assert system == {"role": "system", "content": "Be brief."}
        assert [part["type"] for part in user["content"]] == ["image_url", "image_url", "text"]
        sent = chat_server.pictures(server.asked[0])
        assert [(kind, image.format, image.size, image.mode) for kind, image in sent] == [
            ("image/jpeg", "JPEG", (300, 100), "RGB"),
            ("image/jpeg", "JPEG", (40, 30), "RGB"),
        ]
        assert sent[0][1].getpixel((150, 50)) == pytest.approx((0, 0, 255), abs=3)

    def test_a_picture_that_cannot_be_decoded_is_told_before_anything_is_sent(self, server, endpoint, question):
        with pytest.raises(ImageError):
            endpoint().ask(question("?", Picture(b"no picture")))
        assert server.asked == []

    def test_an_answer_in_parts_is_put_together(self, server, chat_server, endpoint, question):
        parts = [{"type": "text", "text": "Growth of "}, {"type": "text", "text": "{Subject}"}]
        server.then(chat_server.saying(chat_server.completion(parts)))
        assert endpoint().ask(question("?")).text == "Growth of {Subject}"

    def test_costs_are_those_of_the_tokens(self, endpoint, question):
        """2,000 tokens at 2.5 a million, and 40 at 10."""
        asked = endpoint()
        usage = usage_of([asked.ask(question("one")), asked.ask(question("two")), asked.ask(question("one"))])
        assert usage == Usage(2000, 40)
        assert usage.cost(Prices(2.5, 10)) == pytest.approx(0.0054)


class TestKept:
    """Answers are asked for once."""

    def test_the_same_question_is_asked_once(self, server, endpoint, question, file_of):
        picture = Picture(file_of())
        first = endpoint().ask(question("?", picture))
        again = endpoint().ask(question("?", Picture(file_of())))
        assert len(server.asked) == 1
        assert (again.kept, again.text, again.raw, again.asked) == (True, first.text, first.raw, first.asked)

    def test_the_same_question_twice_at_once_is_asked_once(self, server, endpoint, question):
        replies = dict(endpoint({"concurrency": 4}).ask_all([question("?")] * 8))
        assert len(server.asked) == 1
        assert sorted(reply.kept for reply in replies.values()) == [False] + [True] * 7

    def test_another_prompt_model_setting_picture_or_cap_is_another_question(self, server, endpoint, question, file_of):
        plain = question("?", Picture(file_of()))
        for asked, messages in [
            (endpoint(), plain),
            (endpoint(), question("!", Picture(file_of()))),
            (endpoint(model="other"), plain),
            (endpoint(settings={"temperature": 1}), plain),
            (endpoint(), question("?", Picture(file_of(colour="blue")))),
            (endpoint(), question("?", Picture(file_of(), 20))),
            (endpoint(), question("?", Picture(file_of()), Picture(file_of()))),
        ]:
            asked.ask(messages)
        assert len(server.asked) == 7

    def test_a_kept_answer_needs_no_server_and_no_decoding(self, endpoint, question, tmp_path, file_of, monkeypatch):
        messages = question("?", Picture(file_of()))
        endpoint().ask(messages)
        monkeypatch.setattr(Picture, "data_url", None)
        assert endpoint(url="http://127.0.0.1:9/v1").ask(messages).kept
        assert endpoint(url="http://127.0.0.1:9/v1").kept(messages).text == "Growth of {Subject} over time"

    def test_the_raw_reply_is_kept_as_it_came(self, server, chat_server, endpoint, question, tmp_path):
        body = b'{"choices": [{"message": {"content": "a\\u00e4 {B}"}}],   "x": 1}'
        server.then(chat_server.saying(body))
        key = endpoint().ask(question("?")).key
        entry = json.loads((tmp_path / "replies" / key[:2] / f"{key}.json").read_text())
        assert (entry["schema"], entry["key"], entry["raw"]) == ("relsim.reply/1", key, body.decode())
        assert entry["request"]["messages"] == [{"role": "user", "parts": ["?"]}]
        assert entry["endpoint"] == server.url

    @pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"schema": "relsim.reply/9", "key": "x", "raw": ""}'])
    def test_a_kept_answer_that_cannot_be_read_is_told_and_asked_for_anew(
        self, server, endpoint, question, tmp_path, content, caplog
    ):
        reply = endpoint().ask(question("?"))
        path = ReplyCache(tmp_path / "replies").path(reply.key)
        path.write_bytes(content)
        assert not endpoint().ask(question("?")).kept
        assert len(server.asked) == 2
        assert "is passed over" in caplog.text
        assert endpoint().ask(question("?")).kept

    def test_an_answer_that_cannot_be_kept_ends_the_asking(self, endpoint, question, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(EndpointError, match="cannot be kept"):
            endpoint(cache=ReplyCache(tmp_path / "file" / "replies")).ask(question("?"))


class TestUseless:
    """Answers without a caption: a status, the raw reply, and no second question unless it is wanted."""

    @pytest.mark.parametrize(
        ("body", "ends", "reason"),
        [
            (b'{"choices": [{"mess', "malformed", "not JSON"),
            (b"<html>busy</html>", "malformed", "not JSON"),
            (b"[]", "malformed", "a JSON list"),
            (b"{}", "malformed", "no list of choices"),
            (b'{"error": {"message": "model is loading"}}', "malformed", "model is loading"),
            (b'{"choices": ["x"]}', "malformed", "without a message"),
            (b'{"choices": [{"message": {"content": 5}}]}', "malformed", "no text"),
            (b'{"choices": []}', "empty", "no choices"),
            (b'{"choices": [{"message": {"content": null}}]}', "empty", "empty text"),
            (b'{"choices": [{"message": {"content": "  \\n"}}]}', "empty", "empty text"),
            (b'{"choices": [{"message": {"content": null, "refusal": "I will not"}}]}', "refused", "I will not"),
            (b'{"choices": [{"message": {}, "finish_reason": "content_filter"}]}', "refused", "content filter"),
            (b'{"choices": [{"message": {"content": "Gro"}, "finish_reason": "length"}]}', "cut_short", "limit"),
        ],
    )
    def test_it_is_a_status_with_the_raw_reply(self, server, chat_server, endpoint, question, body, ends, reason):
        server.then(chat_server.saying(body))
        asked = endpoint()
        reply = asked.ask(question("?"))
        assert reply.status.value == ends
        assert reason in reply.reason
        assert reply.raw == body.decode()
        assert asked.ask(question("?")).status.value == ends
        assert len(server.asked) == 1
        assert endpoint(ask_again=True).ask(question("?")).status is ReplyStatus.OK
        assert len(server.asked) == 2

    def test_tokens_that_are_not_counted_are_told(self, server, chat_server, endpoint, question):
        server.then(
            chat_server.saying(b'{"choices": [{"message": {"content": "{A}"}}], "usage": {"prompt_tokens": -1}}')
        )
        assert endpoint().ask(question("?")).usage == Usage(unreported=1)

    def test_what_is_of_no_use_can_be_said_by_a_function(self, server, endpoint, question):
        server.text = "seven"
        assert endpoint().ask(question("?")).text == "seven"
        server.text = "7"
        words = endpoint(ask_again=lambda reply: not (reply.text or "").isdigit())
        assert [(reply.text, reply.kept) for reply in (words.ask(question("?")), words.ask(question("?")))] == [
            ("7", False),
            ("7", True),
        ]


class TestRepeats:
    """The same question asked several times."""

    def test_each_has_an_answer_of_its_own_and_is_sent_alike(self, server, endpoint, question):
        server.text = lambda _: f"answer {len(server.asked)}"
        asking = endpoint()
        for _ in range(2):
            replies = [asking.ask(Question(question("?"), repeat)) for repeat in range(3)]
            assert [reply.text for reply in replies] == ["answer 1", "answer 2", "answer 3"]
        assert server.asked == [server.asked[0]] * 3
        assert asking.ask(question("?")).text == "answer 1"


class TestVariants:
    """The same endpoint otherwise."""

    def test_other_settings_are_other_questions_with_the_same_answers_kept(self, server, endpoint, question):
        first = endpoint(settings={"temperature": 0, "seed": 1})
        second = first.with_settings({"temperature": 0})
        assert (first.settings, second.settings) == ({"temperature": 0, "seed": 1}, {"temperature": 0})
        second.ask(question("?"))
        assert first.kept(question("?")) is None
        assert second.kept(question("?")).kept
        assert ["seed" in body for body in server.asked] == [False]

    def test_azure_has_another_path_and_another_header(self, server, endpoint, question):
        server.path = "/openai/deployments/tiny-vlm/chat/completions?api-version=2024-10-21"
        azure = endpoint(url=server.url.removesuffix("/v1"), api_version="2024-10-21", key="sk-azure")
        assert ended(azure.ask(question("?")))[0] == "ok"
        assert server.headers[0]["api-key"] == "sk-azure"
        assert "authorization" not in server.headers[0]


class TestFaults:
    """What passes is tried again; what does not is told."""

    def test_429_waits_as_long_as_the_server_says(self, server, chat_server, endpoint, question):
        server.then(chat_server.status(429, {"Retry-After": "0.4"}))
        started = time.monotonic()
        assert endpoint().ask(question("?")).status is ReplyStatus.OK
        assert time.monotonic() - started >= 0.4
        assert len(server.asked) == 2

    def test_429_holds_the_other_questions_as_well(self, server, chat_server, endpoint, question):
        """One question at once: the second begins only after the pause that the first was told to make."""
        server.then(chat_server.status(429, {"Retry-After": "0.5"}))
        asked = endpoint()
        first = threading.Thread(target=asked.ask, args=(question("one"),))
        first.start()
        while not server.asked:
            time.sleep(0.01)
        time.sleep(0.1)
        started = time.monotonic()
        asked.ask(question("two"))
        assert time.monotonic() - started >= 0.3
        first.join()

    def test_a_pause_beyond_the_longest_is_not_waited_for(self, server, chat_server, endpoint, question):
        server.then(chat_server.status(429, {"Retry-After": "3600"}))
        reply = endpoint().ask(question("?"))
        assert (reply.status, len(server.asked)) == (ReplyStatus.RATE_LIMITED, 1)
        assert "status 429: " in reply.reason

    @pytest.mark.parametrize("fault", ["500", "503", "408", "cut", "slow"])
    def test_what_passes_is_tried_again(self, server, chat_server, endpoint, question, fault):
        faults = {"cut": chat_server.cut, "slow": chat_server.slow(1.5)}
        server.then(*[faults.get(fault) or chat_server.status(int(fault))] * 2)
        assert endpoint({"timeout": 0.5}).ask(question("?")).status is ReplyStatus.OK
        assert len(server.asked) == 3

    @pytest.mark.parametrize(
        ("fault", "ends"),
        [("429", "rate_limited"), ("500", "server_error"), ("cut", "unreachable"), ("slow", "timeout")],
    )
    def test_after_the_last_try_it_is_told_and_not_kept(self, server, chat_server, endpoint, question, fault, ends):
        faults = {"cut": chat_server.cut, "slow": chat_server.slow(1.0)}
        server.then(*[faults.get(fault) or chat_server.status(int(fault))] * 3)
        policy = {"tries": 3, "timeout": 0.3}
        reply = endpoint(policy).ask(question("?"))
        assert (reply.status.value, reply.text) == (ends, None)
        assert reply.reason.endswith("(3 tries)")
        assert endpoint(policy).ask(question("?")).status is ReplyStatus.OK
        assert len(server.asked) == 4

    @pytest.mark.parametrize("headers", [False, True], ids=["body", "headers"])
    def test_a_server_that_drips_its_answer_is_given_up_in_time(self, server, chat_server, endpoint, question, headers):
        """A byte a second: no read is slow, and the whole would take minutes."""
        server.then(chat_server.dripping(1.0, headers=headers))
        started = time.monotonic()
        reply = endpoint({"timeout": 1.5, "tries": 1}).ask(question("?"))
        assert 1.5 <= time.monotonic() - started < 5
        assert (reply.status, reply.reason) == (ReplyStatus.TIMEOUT, "no answer within 1.5 s")

    def test_an_answer_that_drips_in_time_is_one(self, server, chat_server, endpoint, question):
        server.then(chat_server.dripping(0.001))
        assert ended(endpoint({"timeout": 10, "tries": 1}).ask(question("?"))) == ("ok", "{Word}")

    def test_the_connection_and_the_thread_end_with_the_endpoint(self, server, endpoint, question):
        names = lambda: [thread.name for thread in threading.enumerate()]  # noqa: E731 - asked again and again
        asked = endpoint()
        asked.ask(question("?"))
        assert "endpoint-loop" in names()
        del asked
        gc.collect()
        deadline = time.monotonic() + 5
        while "endpoint-loop" in names() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "endpoint-loop" not in names()

    def test_it_can_be_asked_where_a_loop_is_running(self, endpoint, question):
        """As in a notebook."""

        async def ask():
            return endpoint().ask(question("?"))

        assert asyncio.run(ask()).status is ReplyStatus.OK

    def test_what_the_server_rejects_is_not_sent_again(self, server, chat_server, endpoint, question):
        server.then(chat_server.status(400, content=b'{"error": {"message": "temperature is not supported"}}'))
        reply = endpoint().ask(question("?"))
        assert (reply.status.value, len(server.asked)) == ("rejected", 1)
        assert "temperature is not supported" in reply.reason

    @pytest.mark.parametrize(
        ("code", "content", "told"),
        [
            (401, b'{"error": {"message": "bad key sk-secret-123"}}', r"refuses the key .*\[key\].*OPENAI_API_KEY"),
            (403, b"", "refuses the key"),
            (404, b'{"error": "unknown model"}', "no model 'tiny-vlm'.*unknown model.*/v1"),
            (429, b'{"error": {"code": "insufficient_quota"}}', "no credit"),
        ],
    )
    def test_what_no_question_can_pass_ends_everything(
        self, server, chat_server, endpoint, question, code, content, told
    ):
        server.then(chat_server.status(code, content=content))
        with pytest.raises(EndpointError, match=told) as caught:
            list(endpoint(key="sk-secret-123").ask_all([question(str(n)) for n in range(5)]))
        assert "sk-secret" not in str(caught.value)
        assert len(server.asked) == 1

    def test_a_server_that_is_not_there_is_given_up(self, endpoint, question):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        asked = endpoint({"tries": 2, "patience": 3}, url=url)
        replies = asked.ask_all(question(str(n)) for n in range(50))
        statuses = []
        with pytest.raises(EndpointError, match=r"no answer to 3 questions in a row.*connection failed"):
            statuses.extend(reply.status for _, reply in replies)
        assert set(statuses) == {ReplyStatus.UNREACHABLE}

    def test_a_bad_spell_that_ends_is_survived(self, server, chat_server, endpoint, question):
        """Two questions without an answer, then one with: the count begins again."""
        server.then(*[chat_server.status(500)] * 2, chat_server.answer, *[chat_server.status(500)] * 2)
        replies = dict(endpoint({"tries": 1, "patience": 3}).ask_all([question(str(n)) for n in range(6)]))
        assert [replies[n].status.value for n in range(6)] == ["server_error"] * 2 + ["ok"] + ["server_error"] * 2 + [
            "ok"
        ]


class TestMany:
    """Several questions at once."""

    def test_every_question_gets_its_own_reply(self, server, endpoint, question):
        server.text = lambda body: f"{{Number}} is {body['messages'][0]['content']}"
        replies = dict(endpoint({"concurrency": 5}).ask_all(question(f"n{n}") for n in range(40)))
        assert {place: reply.text for place, reply in replies.items()} == {n: f"{{Number}} is n{n}" for n in range(40)}

    def test_no_more_are_under_way_than_allowed(self, server, endpoint, question):
        server.free.clear()
        replies = endpoint({"concurrency": 3}).ask_all(question(str(n)) for n in range(10))
        reader = threading.Thread(target=list, args=(replies,))
        reader.start()
        time.sleep(0.5)
        assert len(server.asked) == 3
        server.free.set()
        reader.join(timeout=20)
        assert len(server.answered) == 10

    def test_questions_begin_as_far_apart_as_asked_for(self, endpoint, question):
        """At 600 a minute the sixth begins half a second after the first."""
        started = time.monotonic()
        list(endpoint({"concurrency": 6, "per_minute": 600}).ask_all(question(str(n)) for n in range(6)))
        assert time.monotonic() - started >= 0.5

    def test_an_error_of_the_questions_is_raised(self, endpoint, question):
        def questions():
            yield question("one")
            raise ImageError("missing", "no such file")

        with pytest.raises(ImageError, match="no such file"):
            list(endpoint().ask_all(questions()))

    def test_leaving_early_stops_the_asking(self, server, endpoint, question):
        for _ in endpoint().ask_all(question(str(n)) for n in range(1000)):
            break
        time.sleep(0.3)
        count = len(server.asked)
        time.sleep(0.3)
        assert len(server.asked) == count < 1000

    def test_no_questions_get_no_replies(self, endpoint):
        assert list(endpoint().ask_all([])) == []


class TestKey:
    """The key goes to the server and nowhere else."""

    SECRET = "sk-secret-123"

    def test_it_is_sent_and_not_kept(self, server, chat_server, endpoint, question, tmp_path, caplog):
        caplog.set_level(logging.DEBUG, logger="relsim")
        server.then(
            chat_server.status(500, content=f"key {self.SECRET} is over its limit".encode()),
            chat_server.saying(chat_server.completion(f"{{Word}} {self.SECRET}")),
        )
        reply = endpoint(key=self.SECRET).ask(question("?"))
        assert server.headers[0]["authorization"] == f"Bearer {self.SECRET}"
        assert reply.text == "{Word} [key]"
        kept = "".join(path.read_text() for path in (tmp_path / "replies").rglob("*.json"))
        assert self.SECRET not in kept + caplog.text
        assert "status 500: key [key] is over" in caplog.text

    def test_without_one_a_server_of_ones_own_can_be_asked(self, server, endpoint, question):
        assert endpoint().ask(question("?")).status is ReplyStatus.OK
        assert "sk-" not in server.headers[0]["authorization"]

    def test_it_comes_from_the_variable_that_is_named(self, monkeypatch):
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        monkeypatch.setenv("MY_KEY", " abc \n")
        assert (key_of_environment(), key_of_environment("MY_KEY")) == (None, "abc")

    def test_a_password_in_the_address_is_not_recorded(self):
        assert Endpoint("https://me:pass@host:8/v1/?key=abc", "m").address == "https://host:8/v1"


@pytest.mark.parametrize("address", ["", "localhost:8000/v1", "ftp://host/v1", "http://", "http://[::1/v1"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(EndpointError, match="is no address of an endpoint"):
        Endpoint(address, "m")
