"""Jobs in a real browser: pictures are embedded from the page, and the page follows, is reloaded, and goes on."""

import os
import shutil
import signal

import pytest

from relsim.vectors.table import VectorTable

MANY = 1500  # enough that a quick machine is still at it when the page has been reloaded


@pytest.fixture
def folder(tmp_path, library):
    """A folder of jobs with twelve pictures and a broken one, whose name is markup, and with many."""
    jobs = tmp_path / "jobs"
    sources = [record.source for record in library.records.values()]
    (jobs / "many").mkdir(parents=True)
    (jobs / "few <b>").mkdir()
    for number, source in enumerate(sources[:12]):
        shutil.copy(source, jobs / "few <b>" / f"{number:02d}.png")
    (jobs / "few <b>" / "broken.png").write_bytes(b"no picture")
    for number in range(MANY):
        os.link(sources[number % len(sources)], jobs / "many" / f"{number:04d}.png")
    return jobs


@pytest.fixture
def server(start_server, folder):
    with start_server("--jobs", str(folder)) as running:
        yield running


def start(page, source, what="relation"):
    page.set_default_timeout(200_000)  # a job begins as a process of its own, which waits its turn on a busy machine
    page.select_option("#source", source)
    page.select_option("#what", what)
    page.click('text="Start"')


def test_pictures_are_embedded_from_the_page(open_page, folder):
    page = open_page("#/jobs")
    page.wait_for_selector("#source")
    start(page, "few <b>")
    page.wait_for_selector(".job.finished")
    table = VectorTable.open(folder / "few <b>.relation")
    assert sorted(table.ids) == [f"{number:02d}.png" for number in range(12)]
    assert page.inner_text(".job h2") == "few <b>.relation"
    assert "13 of 13" in page.inner_text(".job .numbers")
    page.click(".job summary")
    assert "1 not_image" in page.inner_text(".job ul")
    assert page.locator("#source option").count() == 2  # a table is no source


def test_a_job_is_followed_through_a_reload_cancelled_and_gone_on_with(open_page, folder):
    page = open_page("#/jobs")
    page.wait_for_selector("#source")
    start(page, "many")
    moving = "() => { const one = document.querySelector('.job.running progress'); return one && one.value > 0 }"
    page.wait_for_function(moving)
    page.wait_for_selector(".job .numbers:has-text('images/s')")  # from its second batch on
    assert "left" in page.inner_text(".job .numbers")
    page.reload()
    page.wait_for_function(moving)
    page.click('text="Cancel"')
    page.wait_for_selector(".job.cancelled")
    assert 0 < len(VectorTable.open(folder / "many.relation")) < MANY
    page.focus("[data-does=resume]")
    page.keyboard.press("Enter")
    page.wait_for_selector(".job.finished")
    assert len(VectorTable.open(folder / "many.relation")) == MANY


def test_a_job_of_a_killed_server_is_shown_as_ended_by_the_next_one(open_page, start_server, folder):
    with start_server("--jobs", str(folder)) as first:
        port = first.address.rpartition(":")[2]
        page = open_page("#/jobs", of=first)
        page.wait_for_selector("#source")
        start(page, "many")
        page.wait_for_function("() => document.querySelector('.job progress')?.value > 0")
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(30)
        page.wait_for_selector(".warning:has-text('cannot be reached')")
    with start_server("--jobs", str(folder), "--port", port):
        page.wait_for_selector(".job.ended")  # the same page finds the server that took the place
        page.click('text="Go on"')
        page.wait_for_selector(".job.finished")
        page.close()
    open_page.complaints.clear()  # the browser tells of the server that was gone, too


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1440, "light")])
def test_it_fits_and_can_be_read(open_page, faint, nameless, width, scheme):
    page = open_page("#/jobs", width=width, scheme=scheme)
    page.wait_for_selector("#source")
    start(page, "few <b>", "look")
    page.wait_for_selector(".job")
    assert (faint(page), nameless(page)) == ([], [])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.wait_for_selector(".job.finished")
    page.click(".job summary")
    assert (faint(page), nameless(page)) == ([], [])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
