"""A study in a real browser: a name, three keys, what is kept when the server is killed, and the results."""

import signal

import pytest

from relsim.evaluation.study import read_study
from relsim.evaluation.study_answers import StudyAnswers
from relsim.evaluation.study_results import study_results

KEYS = {"left": "1", "right": "2", "same": "3"}


@pytest.fixture(scope="module")
def study_file(make_study, tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def server(start_server, study_file):
    """A server that asks the study, in the place of the one that all tests share. Each test is another person."""
    with start_server("--study", str(study_file), "--study-results") as running:
        yield running


def kept(study_file):
    """The answers in the store, in the order of time."""
    answers = StudyAnswers(study_file.with_suffix(".sqlite"), read_study(study_file)).answers()
    return sorted(answers, key=lambda one: one.answered_at)


def begin(page, name):
    page.fill("#person", name)
    page.keyboard.press("Enter")
    ready(page, 0)


def ready(page, answered):
    """Wait for the next question, with its pictures."""
    page.wait_for_function(
        "n => document.querySelector('progress')?.value === n && document.querySelector('.vote:enabled')", arg=answered
    )


def test_a_person_answers_by_keys_and_goes_on_after_a_kill(open_page, start_server, make_study, tmp_path):
    study_file = make_study(tmp_path)
    with start_server("--study", str(study_file)) as first:
        port = first.address.rpartition(":")[2]
        page = open_page("#/study", of=first)
        page.wait_for_selector("#person")
        begin(page, "Ada")
        assert page.locator(".question img").evaluate_all("all => all.every(one => one.naturalWidth > 0)")
        assert page.evaluate("document.activeElement.tagName") == "H1"  # Tab goes on to the answers
        page.keyboard.press(KEYS["left"])
        ready(page, 1)
        page.keyboard.press(KEYS["same"])
        ready(page, 2)
        page.click(".vote[data-choice='right']")
        ready(page, 3)
        assert [(one.person, one.choice) for one in kept(study_file)] == [
            *(("Ada", "left"), ("Ada", "same"), ("Ada", "right")),
        ]
        assert all(0 < one.seconds < 600 for one in kept(study_file))
        page.click("text=Back")
        page.wait_for_selector(".vote[data-choice='right'][aria-pressed='true']:enabled")
        page.keyboard.press(KEYS["left"])
        ready(page, 3)
        before = kept(study_file)
        assert [one.choice for one in before] == ["left", "same", "left"]
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(30)
    page.keyboard.press(KEYS["same"])
    page.wait_for_selector(".alert:has-text('This answer was not kept')")
    assert page.locator(".vote:enabled").count() == 3
    assert kept(study_file) == before
    with start_server("--study", str(study_file), "--port", port):
        page.keyboard.press(KEYS["same"])  # the same page goes on with the server that took the place
        ready(page, 4)
        page.reload()
        ready(page, 4)  # so does one that is opened anew, in the same name
        for answered in range(5, 8):
            page.keyboard.press(KEYS["right"])
            ready(page, answered)
        page.keyboard.press(KEYS["right"])
        page.wait_for_selector("h1:has-text('Thank you')")
    assert [one.choice for one in kept(study_file)] == ["left", "same", "left", "same", *["right"] * 4]
    assert [text for text in open_page.complaints if "ERR_CONNECTION_REFUSED" not in text] == []
    open_page.complaints.clear()  # the browser tells of the server that was gone, too


def test_nothing_on_the_page_tells_a_method_or_an_image(open_page, study_file):
    study = read_study(study_file)
    page = open_page("#/study")
    page.wait_for_selector("#person")
    begin(page, "Ben")
    page_text = page.content()
    secrets = {"alpha", "beta"} | {shown.image_id for one in study.questions for shown in (one.left, one.right)}
    assert [secret for secret in secrets if secret in page_text] == []


def test_the_pictures_of_the_next_question_are_there_before_it(open_page):
    page = open_page("#/study")
    page.wait_for_selector("#person")
    begin(page, "Cleo")
    loaded = """() => performance.getEntriesByType('resource').map((one) => one.name)
                  .filter((name) => name.includes('/api/study/picture'))"""
    page.wait_for_function(f"() => ({loaded})().length >= 6")
    before, shown = set(page.evaluate(loaded)), "all => all.map((one) => one.src)"
    now = set(page.eval_on_selector_all(".question img", shown))
    page.keyboard.press("1")
    ready(page, 1)
    following = set(page.eval_on_selector_all(".question img", shown))
    assert (len(now), len(following), now & following) == (3, 3, set())
    assert following <= before


def test_a_picture_that_cannot_be_shown_is_passed_over(open_page):
    page = open_page("#/study")
    page.wait_for_selector("#person")
    page.route("**/api/study/picture*", lambda route: route.abort())
    page.fill("#person", "Dan")
    page.keyboard.press("Enter")
    page.wait_for_selector(".alert button")
    assert page.locator(".vote:enabled").count() == 0
    page.unroute_all()
    page.click(".alert button")
    page.wait_for_function("() => document.querySelector('.vote:enabled')")
    open_page.complaints.clear()  # the browser tells of pictures that did not come


def test_the_results_are_those_of_the_store(open_page, study_file):
    study = read_study(study_file)
    page = open_page("#/study")
    page.wait_for_selector("#person")
    begin(page, "Eve")
    for answered, choice in enumerate(("left", "right", "same", "left"), start=1):
        page.keyboard.press(KEYS[choice])
        ready(page, answered)
    page.goto(page.url.partition("#")[0] + "#/study/results")
    page.wait_for_selector(".outcome tbody")
    (pair,) = study_results(study, kept(study_file)).to_json()["pairs"]
    assert page.inner_text(".outcome h2") == "alpha against beta"
    shown = page.locator(".outcome tbody tr").all_inner_texts()
    for text, share in zip(shown, ("first", "same", "second"), strict=True):
        value = pair["shares"][share]
        assert f"{100 * value['value']:.1f} %" in text
        assert f"{100 * value['low']:.1f} to {100 * value['high']:.1f}" in text
    assert page.get_attribute("nav a[aria-current]", "data-view") == "study"


@pytest.mark.parametrize(("width", "height", "scheme"), [(360, 740, "dark"), (1440, 900, "light")])
def test_it_fits_and_can_be_read(open_page, faint, nameless, width, height, scheme):
    page = open_page("#/study", width=width, height=height, scheme=scheme)
    page.wait_for_selector("#person")
    assert (faint(page), nameless(page)) == ([], [])
    begin(page, f"Fay {width}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert (faint(page), nameless(page)) == ([], [])
    # What is compared and the answers are in sight at once.
    edges = page.eval_on_selector_all(".question img, .vote", "all => all.map(o => o.getBoundingClientRect().bottom)")
    assert max(edges) <= height
    page.keyboard.press("3")
    ready(page, 1)
    page.goto(page.url.partition("#")[0] + "#/study/results")
    page.wait_for_selector(".outcome tbody")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert (faint(page), nameless(page)) == ([], [])
