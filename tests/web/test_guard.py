"""Who may ask, by which name, from which page, and how much."""

import pytest

from relsim.errors import SourceError
from relsim.web.settings import ServerSettings, is_loopback

TOKEN = "a-token-of-our-own"


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "", "[::2]:80"]
)
def test_a_name_that_the_server_does_not_have_gets_nothing(client, host):
    for path in ("/", "/api/collection", "/healthz", "/static/app.css"):
        answer = client.get(path, headers={"host": host})
        assert answer.status_code == 421
        assert "relsim" not in answer.text.lower().replace("x-relsim", "")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:9", "[::1]:9", "pictures.lab"])
def test_its_own_names_are_answered(web, host):
    assert web(names=("pictures.lab",)).get("/api/collection", headers={"host": host}).status_code == 200


class TestToken:
    def test_nothing_is_told_without_it(self, web):
        client = web(token=TOKEN)
        for path in ("/", "/api/collection", "/api/openapi.json", "/metrics", "/static/main.js"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert client.get("/healthz").text == "ok\n"

    def test_a_program_sends_it_in_a_header(self, web):
        client = web(token=TOKEN)
        assert client.get("/api/collection", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
        for wrong in (f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer ", "Bearer \xe9", TOKEN):
            answer = client.get("/api/collection", headers={"authorization": wrong.encode("latin-1")})
            assert answer.status_code == 401

    def test_a_browser_gets_a_cookie_that_no_script_reads(self, web):
        client = web(token=TOKEN)
        answer = client.get(f"/?token={TOKEN}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        # A link of another site leads to the page, too: with "Strict" browsers would keep the cookie back.
        assert {"HttpOnly", "SameSite=Lax"} <= set(answer.headers["set-cookie"].split("; "))
        assert client.get("/").status_code == 200  # the client keeps the cookie
        assert web(token=TOKEN).get("/?token=wrong-wrong").status_code == 401

    def test_a_cookie_does_not_let_a_foreign_page_ask(self, web):
        client = web(token=TOKEN)
        client.get(f"/?token={TOKEN}")
        for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
            assert client.post("/api/uploads", content=b"x", headers=headers).status_code == 403
        assert client.get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200

    def test_people_read_what_is_missing(self, web):
        answer = web(token=TOKEN).get("/", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
        assert (answer.status_code, answer.headers["content-type"]) == (401, "text/html; charset=utf-8")
        assert "a token is needed" in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert web(token=TOKEN).get("/", headers={"accept": "*/*"}).json()["detail"].startswith("a token is needed")

    def test_servers_on_ports_of_one_host_keep_out_of_each_other_s_way(self, web):
        from starlette.testclient import TestClient

        first, second = web(token=TOKEN), web(token=TOKEN[::-1])
        other = TestClient(second.app, base_url="http://localhost:8001", follow_redirects=False)
        first.get(f"/?token={TOKEN}")
        other.get(f"/?token={TOKEN[::-1]}")
        # A browser tells no ports apart: it keeps one cookie of a name, and sends all to both.
        kept = {**first.cookies, **other.cookies}
        headers = {"cookie": "; ".join(f"{name}={value}" for name, value in kept.items())}
        assert (first.get("/", headers=headers).status_code, other.get("/", headers=headers).status_code) == (200, 200)

    def test_a_cookie_that_is_none_is_no_fault(self, web):
        assert web(token=TOKEN).get("/", headers={"cookie": 'relsim_token_80="; ;;=\x01'}).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": "http://localhost:1"},
        {"x-relsim": None},
    ],
    ids=str,
)
def test_another_page_can_change_nothing(client, picture, headers):
    given = {name: value for name, value in ({"x-relsim": "1"} | headers).items() if value is not None}
    client.headers.pop("x-relsim")
    answer = client.post("/api/uploads", content=picture, headers=given)
    assert answer.status_code == 403
    asked = client.get("/api/search", params={"upload": "x"}, headers=given)
    foreign = given.get("sec-fetch-site") == "cross-site"  # reading is no change, and work all the same
    assert (asked.status_code == 403) is foreign
    assert client.get("/metrics", headers=given).status_code == (403 if foreign else 200)
    assert client.get("/", headers=given).status_code == 200  # a link from elsewhere leads here


def test_the_own_page_can(client, picture):
    own = {"sec-fetch-site": "same-origin", "origin": "http://localhost"}
    assert client.post("/api/uploads", content=picture, headers=own).status_code == 201


def test_every_answer_forbids_scripts_from_elsewhere(client):
    for path in ("/", "/api/collection", "/api/search", "/nothing", "/static/app.css"):
        headers = client.get(path).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert (policy["default-src"], policy["script-src"]) == ("'none'", "'self'")
        assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")


def test_a_fault_of_the_server_has_the_headers_too(client, monkeypatch):
    from starlette.testclient import TestClient

    async def broken(_):
        raise ValueError("a secret")

    monkeypatch.setattr(client.app.state.relsim, "search", broken)
    bare = TestClient(client.app, base_url="http://localhost", raise_server_exceptions=False)
    answer = bare.get("/api/search", params={"id": client.app.state.relsim.library.ids[0]})
    assert (answer.status_code, answer.headers["x-frame-options"]) == (500, "DENY")
    assert "a secret" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_large_bodies_are_refused_by_what_they_say_and_by_what_they_are(web):
    client = web(max_body_bytes=1_000, max_upload_bytes=5_000)
    said = client.request("GET", "/api/collection", content=b"x" * 1_001)
    assert (said.status_code, said.json()) == (413, {"detail": "a body of more than 1,000 bytes"})
    assert client.post("/api/uploads", content=b"x" * 5_001).status_code == 413
    for length in ("-1", "1e3", "x"):
        assert client.get("/healthz", headers={"content-length": length}).status_code == 413
    unsaid = client.post("/api/uploads", content=(b"x" * 1_000 for _ in range(6)))
    assert (unsaid.status_code, unsaid.json()) == (413, {"detail": "a body of more than 5,000 bytes"})


def test_programs_may_ask_for_the_head_alone(client):
    for path in ("/", "/healthz", "/metrics", "/static/app.css"):
        asked = client.head(path)
        assert (asked.status_code, asked.headers["content-type"]) == (200, client.get(path).headers["content-type"])


@pytest.mark.parametrize("token", ["short", "a;b#c d+e&f", "with space", 'quoted"one', "é-é-é-é-é", "line\nline"])
def test_a_token_fits_into_an_address_and_a_cookie(token):
    with pytest.raises(SourceError, match="a token has"):
        ServerSettings(token=token)


def test_an_open_server_needs_a_token():
    with pytest.raises(SourceError, match="--token"):
        ServerSettings(host="0.0.0.0")  # noqa: S104 - refused
    assert ServerSettings(host="0.0.0.0", token=TOKEN).token == TOKEN  # noqa: S104 - not listened on
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LocalHost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.1", "example.org")))  # noqa: S104 - not listened on


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"port": 65_536}, "port"),
        ({"batch": 0}, "batch"),
        ({"decode_seconds": 0}, "decode_seconds"),
        ({"token": "short"}, "8"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, fault):
    with pytest.raises(SourceError, match=fault):
        ServerSettings(**settings)
