from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import re
import signal
import socket
import struct
import threading

import pytest
from support.harness import allow_interrupt, answer, cli, start
from support.synthetic import make_spec, write_run

from regmix_bench.errors import UserError
from regmix_bench.records import store
from regmix_bench.reporting import site
from regmix_bench.reporting.site.server import ADDRESS, Server, Site

PAGE = b"<html><head><title>%d</title></head><body></body></html>"


@pytest.fixture
def results(tmp_path):
    write_run(tmp_path / "results", make_spec("trades"))
    return tmp_path / "results"


@pytest.fixture
def pages(monkeypatch):
    """A site that is made at once: an index that says how many records there are."""

    def files(contents, pictures):
        yield "index.html", PAGE % len(contents.records)
        yield "runs/a b.html", b"<head></head>a run"
        yield "assets/site.css", b"body{}"

    monkeypatch.setattr(site, "undrawn_files", files)
    monkeypatch.setattr(site, "empty_site", lambda: [("index.html", PAGE % 0)])


@pytest.fixture
def server(results, pages):
    with Server(0) as running:
        running.site = Site(results)
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def ask(server, path="/", method="GET", **headers):
    connection = http.client.HTTPConnection(ADDRESS, server.server_port, timeout=60)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": f"localhost:{server.server_port}", **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def state(server):
    return json.loads(ask(server, "/_state.json")[2])


@pytest.mark.parametrize(
    ("path", "kind", "content"),
    [
        ("/", "text/html; charset=utf-8", b"<title>1</title>"),
        ("/index.html?sort=clean#top", "text/html; charset=utf-8", b"<title>1</title>"),
        ("/runs/a%20b.html", "text/html; charset=utf-8", b"a run"),
        ("/assets/site.css", "text/css; charset=utf-8", b"body{}"),
        ("/_live.js", "text/javascript; charset=utf-8", b"location.reload()"),
    ],
)
def test_pages_are_answered_by_path(server, path, kind, content):
    status, headers, body = ask(server, path)
    assert (status, headers["Content-Type"]) == (200, kind)
    assert content in body
    assert int(headers["Content-Length"]) == len(body)


def test_only_what_is_answered_knows_of_the_reload(server):
    _, _, body = ask(server, "/")
    (version,) = re.findall(rb'<script src="/_live.js\?v=(\w+)" defer></script></head>', body)
    assert version.decode() == server.site.state.version == state(server)["version"]
    assert server.site.state.files["index.html"] == PAGE % 1


@pytest.mark.parametrize(
    "path",
    [
        "/../results/published.yaml",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "//etc/passwd",
        "/%00",
        "/assets/../index.html",
        "/assets",
        "/index.html/",
        "http://localhost/index.html",
        "/%ff%fe",
        "/" + "a" * 60_000,
    ],
)
def test_other_paths_are_not_found(server, path):
    status, headers, body = ask(server, path)
    assert status == 404
    assert b"root:" not in body
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_a_huge_path_is_refused_and_the_next_request_answered(server):
    assert ask(server, "/" + "a" * 70_000)[0] == 414
    assert ask(server)[0] == 200


@pytest.mark.parametrize("path", ["/", "/_state.json", "/nothing"])
def test_every_answer_says_what_a_page_may_do(server, path):
    _, headers, _ = ask(server, path)
    policy = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "localhost", ""])
def test_another_host_is_refused(server, host):
    status, _, body = ask(server, Host=host.format(port=server.server_port))
    assert status == 403
    assert b"<title>1" not in body


def test_text_is_compressed_for_who_takes_that(server):
    for path in ("/", "/assets/site.css", "/_state.json"):
        _, plain, body = ask(server, path)
        _, headers, packed = ask(server, path, **{"Accept-Encoding": "br, gzip"})
        assert gzip.decompress(packed) == body
        assert headers["Content-Encoding"] == "gzip" and "Content-Encoding" not in plain
        assert headers["Vary"] == plain["Vary"] == "Accept-Encoding"
        assert int(headers["Content-Length"]) == len(packed)


def test_what_a_reader_has_is_not_sent_again(server, results):
    for encoding in ("gzip", "identity"):
        tag = ask(server, **{"Accept-Encoding": encoding})[1]["ETag"]
        for known in (tag, f'"other", {tag}'):
            status, headers, body = ask(server, **{"If-None-Match": known})
            assert (status, body, headers["ETag"]) == (304, b"", tag)
    write_run(results, make_spec("mart"))
    assert server.site.refresh()
    status, headers, body = ask(server, **{"If-None-Match": tag})
    assert status == 200 and headers["ETag"] != tag and b"<title>2</title>" in body


def test_a_connection_carries_several_requests(server):
    connection = http.client.HTTPConnection(ADDRESS, server.server_port, timeout=60)
    for path in ("/", "/assets/site.css", "/"):
        connection.request("GET", path)
        answered = connection.getresponse()
        assert answered.status == 200 and answered.read()
        assert connection.sock is not None
    connection.close()


def test_head_has_no_body_and_other_methods_are_refused(server):
    status, headers, body = ask(server, method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) == len(ask(server)[2])
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(server, method=method)[0] == 501


@pytest.mark.parametrize("request_line", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: loc"])
def test_a_reader_that_resets_is_no_news(server, capfd, request_line):
    with socket.create_connection((ADDRESS, server.server_port), 10) as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        reader.sendall(request_line)
    assert ask(server)[0] == 200
    assert capfd.readouterr() == ("", "")


def test_an_error_of_ours_is_said(server, capfd):
    del server.site
    with pytest.raises(http.client.RemoteDisconnected):
        ask(server)
    assert "AttributeError" in capfd.readouterr().err
    server.site = None


def test_many_readers_wait_for_a_busy_server():
    with Server(0) as busy, contextlib.ExitStack() as readers:
        for _ in range(60):
            readers.enter_context(socket.create_connection((ADDRESS, busy.server_port), 2))


def test_it_listens_on_loopback_alone(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"


def test_a_new_record_makes_another_version(server, results):
    before = state(server)
    assert not server.site.refresh()
    write_run(results, make_spec("mart"))
    assert server.site.refresh()
    assert state(server)["version"] != before["version"]
    assert b"<title>2</title>" in ask(server)[2]
    assert not server.site.refresh()


def test_an_unreadable_record_leaves_the_last_good_site(server, results):
    version = state(server)["version"]
    path = write_run(results, make_spec("mart"))
    whole = path.read_text()
    path.write_text(whole[:100])
    assert server.site.refresh()
    found = state(server)
    assert found["version"] == version
    assert path.name in found["trouble"] and "\n" not in found["trouble"]
    assert b"<title>1</title>" in ask(server)[2]
    path.write_text(whole)
    assert server.site.refresh()
    assert state(server)["trouble"] == ""
    assert b"<title>2</title>" in ask(server)[2]


@pytest.mark.parametrize("takes_its_place", ["nothing", "a file", "an empty folder"])
def test_a_folder_that_vanishes_leaves_the_last_good_site(server, results, takes_its_place):
    version, aside = state(server)["version"], results.with_name("aside")
    results.rename(aside)
    if takes_its_place == "a file":
        results.write_text("")
    assert server.site.refresh()
    assert state(server)["trouble"] == f"no folder {results}: `regmix-bench run` makes it"
    assert state(server)["version"] == version and b"<title>1</title>" in ask(server)[2]
    if takes_its_place == "an empty folder":
        results.mkdir()
        assert server.site.refresh()
        assert state(server)["trouble"] == "" and b"<title>0</title>" in ask(server)[2]
        results.rmdir()
    results.unlink(missing_ok=True)
    aside.rename(results)
    assert server.site.refresh()
    assert (state(server)["trouble"], state(server)["version"]) == ("", version)


def test_the_first_record_replaces_the_page_that_waits_for_it(tmp_path, pages):
    results = tmp_path / "results"
    results.mkdir()
    site = Site(results)
    assert site.state.files["index.html"] == PAGE % 0
    waiting = site.state.version
    path = write_run(results, make_spec("trades"))
    assert site.refresh()
    assert site.state.files["index.html"] == PAGE % 1
    path.unlink()
    assert site.refresh()
    assert site.state.version == waiting


def test_the_real_site_is_served(results, monkeypatch):
    site = Site(results)
    page = site.state.files["index.html"]
    assert b"trades" in page and b"</head>" in page
    (record,) = store.record_files(results)
    record.unlink()
    assert site.refresh()
    assert b"regmix-bench run" in site.state.files["index.html"]


def test_the_runs_of_a_suite_alone_are_served(results):
    other = write_run(results, make_spec("pgd-at"))
    only = {store.load_run(other).run_id}
    whole, part = Site(results).state.files, Site(results, only=only).state.files
    assert b"trades" in whole["index.html"] and b"trades" not in part["index.html"]
    assert b"pgd-at" in part["index.html"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--results", "nowhere"], "no folder nowhere: `regmix-bench run` makes it"),
        (["--results", "file"], "no folder file"),
        (["--port", "{taken}"], "cannot serve on port {taken}: Address already in use"),
        (["--port", "70000"], "cannot serve on port 70000: there are those from 0 to 65535"),
    ],
)
def test_bad_input_is_one_line(results, pages, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with socket.create_server((ADDRESS, 0)) as other:
        taken = str(other.getsockname()[1])
        filled = [argument.format(taken=taken) for argument in arguments]
        port = [] if "--port" in arguments else ["--port", "0"]
        found = cli("serve", *filled, *port)
    assert found.status == 2
    assert said.format(taken=taken) in found.errors
    assert found.errors.count("\n") == 1


def test_a_record_that_is_broken_from_the_start_is_refused(results, pages):
    (path,) = store.record_files(results)
    path.write_text("{")
    with pytest.raises(UserError, match=path.name):
        Site(results)


def test_ctrl_c_ends_it_cleanly(tmp_path):
    (tmp_path / "results").mkdir()
    unbuffered = {"PYTHONUNBUFFERED": "1"}
    process = start(
        "serve", "--port", "0", cwd=tmp_path, env=unbuffered, preexec_fn=allow_interrupt
    )
    line = process.stdout.readline()
    port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", line)[1])
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=60)
    connection.request("GET", "/")
    assert connection.getresponse().status == 200
    connection.close()
    process.send_signal(signal.SIGINT)
    ended = answer(process)
    assert (ended.status, ended.errors) == (0, "")
