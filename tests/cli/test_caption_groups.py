"""`relsim caption groups` against a real local server, with faults, a kill and a full disk."""

import json
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from relsim.captions.groups import GROUP_PROMPT
from relsim.data.seed_groups import read_seed_groups

COLOURS = ("red", "green", "blue", "white", "black", "yellow", "purple", "gray")


@pytest.fixture
def groups(tmp_path):
    """`groups(n)` writes a list of n groups by URL and their images as published: two pictures each, all different."""

    def write(count, name="seeds.json"):
        entries = []
        for number in range(count):
            urls = [f"https://host/{number}/{side}.jpg" for side in "ab"]
            entries.append({"anonymous_caption": f'"Old {{Caption}} {number}"', "image_urls": urls, "votes": number})
        path = tmp_path / name
        path.write_text(json.dumps(entries))
        for group in read_seed_groups(path):
            for side, image in enumerate(group.images):
                file = tmp_path / "images" / group.file_of(image)
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (20 + group.index, 16 + side), COLOURS[group.index % 8]).save(file)
        return path

    return write


@pytest.fixture
def flags(server, tmp_path):
    """Options of every call: the server, the images, and one question at once, so that faults have an order."""
    return [
        *("--endpoint", server.url, "--model", "tiny-vlm", "--images", tmp_path / "images", "--out", tmp_path / "out"),
        *("--concurrency", 1, "--timeout", 10),
    ]


@pytest.fixture
def lines(tmp_path):
    """The rows of a file of results."""
    return lambda name: [json.loads(line) for line in (tmp_path / "out" / name).read_text().splitlines()]


def size(body, chat_server):
    """The width of the first picture of a request, which tells its group."""
    return chat_server.pictures(body)[0][1].width


def test_each_group_is_asked_about_once_with_all_its_pictures_and_the_prompt(
    verb, server, chat_server, groups, flags, lines
):
    server.text = lambda body: f"Growth of {{Subject}} in {{Kind {size(body, chat_server)}}}"
    result = verb("caption", "groups", groups(3), *flags)
    assert result.exit_code == 0, result.stderr
    assert [len(chat_server.pictures(body)) for body in server.asked] == [2, 2, 2]
    assert all(body["messages"][0]["content"][-1] == {"type": "text", "text": GROUP_PROMPT} for body in server.asked)
    assert [(body["temperature"], body["max_tokens"]) for body in server.asked] == [(0, 256)] * 3
    rows = lines("captions.jsonl")
    assert [(row["group"], row["status"], row["caption"], row["anonymous"]) for row in rows] == [
        (n, "ok", f"Growth of {{Subject}} in {{Kind {20 + n}}}", True) for n in range(3)
    ]
    assert rows[1]["published_caption"] == '"Old {Caption} 1"'
    assert [len(row["images"]) for row in rows] == [2, 2, 2]


def test_the_prompt_says_what_was_published_of_it():
    for text in (
        "Image of using {Fruit} to create a {Animal}",
        "Growth process of {Subject} described in 4 main stages: {Stage 1}, {Stage 2}, {Stage 3}, {Stage 4}",
        "one underlying logic",
        "single anonymous caption",
        "placeholder",
    ):
        assert text in GROUP_PROMPT


def test_the_new_groups_are_seed_groups_again(verb, groups, flags, tmp_path):
    old = read_seed_groups(groups(2))
    verb("caption", "groups", tmp_path / "seeds.json", *flags)
    new = read_seed_groups(tmp_path / "out" / "seed_groups.jsonl")
    assert [(group.index, group.caption, group.images, group.extra) for group in new] == [
        (group.index, "Growth of {Subject} over time", group.images, group.extra) for group in old
    ]


def test_groups_that_a_person_has_corrected_stay(verb, server, groups, flags, tmp_path):
    seeds = groups(3)
    verb("caption", "groups", seeds, *flags)
    path = tmp_path / "out" / "seed_groups.jsonl"
    written = path.read_text()
    again = verb("caption", "groups", seeds, *flags)
    assert (path.read_text(), "corrected" in again.stderr) == (written, False)
    corrected = written.replace(json.loads(written.splitlines()[0])["anonymous_caption"], "A better {Caption}")
    path.write_text(corrected)
    told = verb("caption", "groups", seeds, *flags)
    assert (path.read_text(), told.exit_code) == (corrected, 0)
    assert path.with_name("seed_groups.new.jsonl").read_text() == written


def test_the_table_for_review_has_verdict_findings_and_paths(verb, server, groups, flags, tmp_path):
    server.text = 'A\tcat and\n{Object}\u2028"x"'
    assert verb("caption", "groups", groups(1), *flags).exit_code == 0
    header, row, *rest = (tmp_path / "out" / "review.tsv").read_text().split("\n")
    assert rest == [""]
    cells = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    assert (cells["group"], cells["status"], cells["verdict"]) == ("0", "ok", "leaks")
    assert cells["caption"] == 'A cat and {Object} "x"'
    assert cells["findings"] == 'cat (animal), "x" (quote)'
    assert cells["published_caption"] == "Old {Caption} 0"
    paths = cells["images"].split(" ")
    assert [path.split("/")[-2] for path in paths] == ["group_0", "group_0"]
    assert all(path.startswith(str(tmp_path / "images")) for path in paths)


def test_json_is_the_report(document, server, groups, flags, lines, tmp_path):
    found = document("caption", "groups", groups(2), *flags, "--price-in", 2.5, "--price-out", 10, "--set", "seed=3")
    assert found == json.loads((tmp_path / "out" / "report.json").read_text())
    assert (found["schema"], found["prompt"]) == ("relsim.group_captions/1", GROUP_PROMPT)
    assert (found["endpoint"], found["model"]) == (server.url, "tiny-vlm")
    assert found["settings"] == {"temperature": 0, "max_tokens": 256, "seed": 3}
    assert (found["groups"], found["statuses"], found["asked_now"]) == (2, {"ok": 2}, 2)
    usage = {"input_tokens": 2000, "output_tokens": 40, "unreported": 0, "cost": 0.0054}
    assert (found["usage_now"], found["usage_ever"]) == (usage, usage)
    again = document("caption", "groups", tmp_path / "seeds.json", *flags, "--set", "seed=3")
    assert (again["asked_now"], again["usage_now"]["input_tokens"]) == (0, 0)
    assert (again["usage_ever"]["input_tokens"], again["usage_ever"]["cost"]) == (2000, None)
    assert len(server.asked) == 2


def test_settings_can_be_added_and_left_out(verb, server, groups, flags):
    more = ("--set", "temperature=null", "--set", "max_tokens=null", "--set", "max_completion_tokens=99")
    assert verb("caption", "groups", groups(1), *flags, *more, "--set", "style=terse").exit_code == 0
    assert {name: value for name, value in server.asked[0].items() if name not in ("messages", "model")} == {
        "max_completion_tokens": 99,
        "style": "terse",
    }


def test_pictures_are_found_in_one_folder_by_their_ids_too(verb, server, groups, flags, tmp_path):
    """And with another suffix, as files that were downloaded in their own format have."""
    path = groups(2)
    for file in list((tmp_path / "images").rglob("*.png")):
        Image.open(file).save(tmp_path / "images" / f"{file.stem}.webp", lossless=True)
        file.unlink()
    assert verb("caption", "groups", path, *flags).exit_code == 0
    assert len(server.asked) == 2


@pytest.mark.parametrize("place", ["images", "."])
def test_pictures_beside_the_list_are_found_without_being_named(verb, server, groups, tmp_path, place):
    path = groups(2)
    if place == ".":
        for folder in (tmp_path / "images").iterdir():
            folder.rename(tmp_path / folder.name)
        (tmp_path / "images").rmdir()
    words = ("--endpoint", server.url, "--model", "tiny-vlm", "--out", tmp_path / "out")
    assert verb("caption", "groups", path, *words).exit_code == 0
    assert len(server.asked) == 2


def test_pictures_are_found_in_a_shard_folder(verb, server, chat_server, groups, flags, make_shards, tmp_path):
    path = groups(2)
    shards = make_shards(
        tmp_path / "shards", {file.stem: file.read_bytes() for file in sorted((tmp_path / "images").rglob("*.png"))}
    )
    assert verb("caption", "groups", path, *flags, "--images", shards).exit_code == 0
    assert sorted(size(body, chat_server) for body in server.asked) == [20, 21]


def test_the_older_form_with_a_folder_a_group_is_read(verb, server, groups, flags, tmp_path, lines):
    groups(3)
    older = tmp_path / "older.jsonl"
    older.write_text('{"anonymous_caption": "x", "index_group": 2}\n')
    assert verb("caption", "groups", older, *flags).exit_code == 0
    assert len(server.asked) == 1
    assert lines("captions.jsonl")[0]["group"] == 2
    assert lines("seed_groups.jsonl") == [{"anonymous_caption": "Growth of {Subject} over time", "index_group": 2}]


def test_bad_pictures_are_left_out_and_told_and_a_group_of_one_is_not_asked_about(
    verb, server, chat_server, groups, flags, lines, tmp_path
):
    path = groups(3)
    first, second, third = read_seed_groups(path)
    (tmp_path / "images" / first.file_of(first.images[0])).write_bytes(b"no picture")
    (tmp_path / "images" / second.file_of(second.images[1])).unlink()
    result = verb("caption", "groups", path, *flags)
    assert result.exit_code == 3
    assert [size(body, chat_server) for body in server.asked] == [22]
    rows = lines("captions.jsonl")
    assert [row["status"] for row in rows] == ["too_few_images", "too_few_images", "ok"]
    assert rows[0]["reason"] == "1 of 2 images can be used: 1 not_image"
    assert rows[1]["failed"] == [
        {"image_id": second.images[1].image_hash, "status": "missing", "reason": "no such file"}
    ]
    assert "group 0: 1 of 2 images can be used: 1 not_image (too_few_images)" in result.stderr
    assert [row["index_group"] for row in lines("seed_groups.jsonl")] == [third.index]


def test_a_bad_picture_among_three_costs_only_itself_and_nothing_the_second_time(
    verb, server, chat_server, groups, flags, lines, tmp_path
):
    path = groups(1)
    entries = json.loads(path.read_text())
    entries[0]["image_urls"].insert(0, "https://host/broken.jpg")
    path.write_text(json.dumps(entries))
    (group,) = read_seed_groups(path)
    (tmp_path / "images" / group.file_of(group.images[0])).write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    for _ in range(2):
        assert verb("caption", "groups", path, *flags).exit_code == 0
    assert [len(chat_server.pictures(body)) for body in server.asked] == [2]
    (row,) = lines("captions.jsonl")
    assert (row["kept"], len(row["images"]), [item["status"] for item in row["failed"]]) == (True, 2, ["truncated"])


def test_faults_that_pass_leave_no_trace_and_useless_answers_are_rows(
    verb, server, chat_server, groups, flags, lines, tmp_path
):
    server.then(
        chat_server.status(429, {"Retry-After": "0.1"}),
        chat_server.status(500),
        chat_server.cut,
        chat_server.answer,
        chat_server.saying(b'{"choices": [{"mess'),
        chat_server.saying({"choices": []}),
        chat_server.saying(chat_server.completion(None, refusal="I will not")),
        chat_server.status(400, content=b"too many pictures"),
    )
    result = verb("caption", "groups", groups(6), *flags)
    assert result.exit_code == 3
    rows = lines("captions.jsonl")
    assert [row["status"] for row in rows] == ["ok", "malformed", "empty", "refused", "rejected", "ok"]
    assert [row["raw"] is not None for row in rows] == [False, True, True, True, True, False]
    assert rows[1]["raw"] == '{"choices": [{"mess'
    assert "2 captions of 6 groups" in result.stdout
    assert "group 3: I will not (refused)" in result.stderr
    asked = len(server.asked)
    assert verb("caption", "groups", tmp_path / "seeds.json", *flags).exit_code == 3
    assert len(server.asked) == asked + 1  # the one that was rejected
    assert verb("caption", "groups", tmp_path / "seeds.json", *flags, "--ask-again").exit_code == 0
    assert len(server.asked) == asked + 4


def test_a_run_that_was_killed_goes_on_and_asks_nothing_twice(start, server, groups, flags, lines, tmp_path, document):
    """The server answers five questions or so and then holds its breath; the command is killed and started again."""
    path = groups(12)
    replies = tmp_path / "out" / "replies"

    def text(_):
        if len(server.answered) >= 4:
            server.free.clear()
        return "Growth of {Subject}"

    server.text = text
    process = start("caption", "groups", path, *flags, "--concurrency", 3)
    try:
        deadline = time.monotonic() + 90
        while not (
            len(server.asked) == len(server.answered) + 3
            and len(list(replies.glob("*/*.json"))) == len(server.answered) >= 5
        ):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    given = {json.dumps(body) for body in server.answered}
    assert not (tmp_path / "out" / "captions.jsonl").exists()
    before = len(server.asked)
    server.text = "Growth of {Subject}"
    server.free.set()
    found = document("caption", "groups", path, *flags)
    asked = [json.dumps(body) for body in server.asked[before:]]
    assert found["asked_now"] == len(asked) == 12 - len(given)
    assert given.isdisjoint(asked)
    assert len(given | set(asked)) == 12
    assert [row["status"] for row in lines("captions.jsonl")] == ["ok"] * 12


def test_an_interrupt_ends_it_in_one_line_and_it_goes_on(start, server, groups, flags, tmp_path, document):
    path = groups(4)
    server.free.clear()
    process = start("caption", "groups", path, *flags)
    deadline = time.monotonic() + 60
    while not server.asked and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (130, "relsim: interrupted\n")
    server.free.set()
    assert document("caption", "groups", path, *flags)["groups"] == 4


def test_two_runs_into_one_folder_are_refused(start, refused, server, groups, flags, tmp_path):
    path = groups(2)
    server.free.clear()
    process = start("caption", "groups", path, *flags)
    try:
        deadline = time.monotonic() + 60
        while not server.asked and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "another process" in refused("caption", "groups", path, *flags)
    finally:
        process.kill()
        process.communicate()


def test_the_key_comes_from_the_environment_and_is_in_no_file(verb, server, groups, flags, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-secret-123")
    assert verb("--verbose", "caption", "groups", groups(2), *flags, "--key-variable", "MY_KEY").exit_code == 0
    assert server.headers[0]["authorization"] == "Bearer sk-secret-123"
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert len(files) > 5
    assert [file for file in files if b"sk-secret" in file.read_bytes()] == []


def test_a_key_that_is_refused_is_one_line(refused, server, chat_server, groups, flags):
    server.then(chat_server.status(401))
    assert "OPENAI_API_KEY" in refused("caption", "groups", groups(2), *flags)


def test_a_full_disk_is_told_and_what_is_kept_is_not_asked_again(
    refused, document, server, groups, flags, small_disk, monkeypatch
):
    disk, remount = small_disk
    path = groups(30)
    server.text = "Growth of {Subject} " + "and {Object} " * 4_000
    more = ("--out", disk / "out", "--replies", disk / "replies")
    assert "no space left" in refused("caption", "groups", path, *flags, *more)
    kept = len(list((disk / "replies").glob("*/*.json")))
    remount("size=20m")
    assert 0 < kept < 30
    assert document("caption", "groups", path, *flags, *more)["asked_now"] == 30 - kept


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--endpoint", "localhost"], "is no address of an endpoint"),
        (["--set", "x"], "NAME=VALUE"),
        (["--price-in", 1], "both prices"),
        (["--per-minute", 0], "above 0"),
        (["--images", "nowhere"], "nowhere is not a folder"),
    ],
)
def test_wrong_options_are_told_before_anything_is_sent(refused, server, groups, flags, options, told):
    assert told in refused("caption", "groups", groups(1), *flags, *options)
    assert server.asked == []


def test_captions_of_images_are_the_other_verb_of_that_name(verb):
    """`./groups` is a folder, `groups` is the verb; both have a help of their own."""
    assert "SEED_GROUPS" in verb("caption", "groups", "--help").stdout
    text = verb("caption", "--help").stdout
    assert "SOURCES" in text
    assert "relsim caption groups" in text
    assert "SOURCES" in verb("caption", "./groups", "--help").stdout
    assert verb("caption", "groups").exit_code == 2


def test_the_client_is_loaded_only_to_ask(server, groups, flags, tmp_path, verb, environment):
    """All answers are kept, so neither torch nor the client is needed."""
    path = groups(1)
    verb("caption", "groups", path, *flags)
    words = ["caption", "groups", path, *flags]
    code = (
        "import sys; from relsim.cli.main import app; "
        f"app({[str(word) for word in words]!r}, standalone_mode=False); "
        "print([name for name in ('torch', 'openai') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
