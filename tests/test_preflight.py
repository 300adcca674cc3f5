"""One sentence says whether YouTube will work here, also without a network."""

from __future__ import annotations

import pytest
from range_server import range_server

from helpers.corpora.rows import Row
from helpers.downloading import preflight, video_pages
from helpers.downloading.addresses import Refusal
from helpers.manifests import Manifest
from helpers.settings import Settings

ACCEPTED = Settings.make(accept_youtube_terms=True)


def manifest(source: str) -> Manifest:
    locator = {"youtube": "abcdefghijk", "archipelago": "3/0"}[source]
    return Manifest((Row("a", "c", source, locator, 0.0, 6.0, None, None, "s", "train"),))


@pytest.fixture
def answers(monkeypatch):
    """Lets a server on this machine stand for YouTube."""
    with range_server() as server:
        server.files["generate_204"] = b" "
        monkeypatch.setattr(preflight, "PROBE", server.url("generate_204"))
        monkeypatch.setattr(preflight, "_PATIENCE_S", 120)
        monkeypatch.setattr(preflight, "_runtime_note", lambda: "")
        monkeypatch.setattr(preflight, "_age_note", lambda: "")
        yield server


def test_a_corpus_without_youtube_asks_nobody(answers):
    found = preflight.youtube(Settings.make(), manifest("archipelago"))
    assert found.ready
    assert "nothing was checked" in str(found)
    assert answers.requests == []


def test_terms_come_first(answers):
    found = preflight.youtube(Settings.make(), manifest("youtube"))
    assert not found.ready
    assert "ACCEPT_YOUTUBE_TERMS" in str(found)
    assert answers.requests == []


def test_all_there(answers):
    found = preflight.youtube(ACCEPTED, manifest("youtube"))
    assert found.ready
    assert str(found).startswith("YouTube answers and the tools are there.")


@pytest.mark.parametrize(("query", "words"), [("status=429", "429"), ("status=403", "403")])
def test_a_server_that_refuses_is_believed(answers, monkeypatch, query, words):
    monkeypatch.setattr(preflight, "PROBE", f"{preflight.PROBE}?{query}")
    found = preflight.youtube(ACCEPTED, manifest("youtube"))
    assert (found.ready, words in str(found), "crema_d" in str(found)) == (False, True, True)


def test_no_network_is_no_catastrophe(answers, nobody, monkeypatch):
    monkeypatch.setattr(preflight, "PROBE", f"http://{nobody}/")
    found = preflight.youtube(ACCEPTED, manifest("youtube"))
    assert not found.ready
    assert "no connection" in str(found)
    assert "archipelago" in str(found)


def test_missing_tools_and_cookies_are_named(answers, monkeypatch, tmp_path):
    cookies = Settings.make(accept_youtube_terms=True, cookies=str(tmp_path / "none.txt"))
    assert "COOKIES" in str(preflight.youtube(cookies, manifest("youtube")))

    def absent() -> str:
        raise Refusal("failed", "no ffmpeg")

    monkeypatch.setattr(video_pages, "ffmpeg_path", absent)
    assert "no ffmpeg" in str(preflight.youtube(ACCEPTED, manifest("youtube")))


def test_what_may_go_wrong_is_said(answers, monkeypatch):
    monkeypatch.setattr(preflight, "_runtime_note", lambda: "there is no JavaScript runtime")
    found = preflight.youtube(ACCEPTED, manifest("youtube"))
    assert found.ready
    assert "may refuse videos: there is no JavaScript runtime." in str(found)


def test_the_real_notes_are_sentences_or_nothing():
    for note in (preflight._runtime_note(), preflight._age_note()):
        assert note == "" or note[0].islower()
