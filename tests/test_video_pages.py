"""Videos on pages: found by yt-dlp, cut by ffmpeg, and neither of them trusted."""

from __future__ import annotations

import dataclasses
import stat
import types
import urllib.parse
from pathlib import Path

import manifest_rows
import marked_media
import pytest
from conftest import UntilTheEnd
from range_server import range_server
from yt_dlp.networking.exceptions import HTTPError, TransportError
from yt_dlp.utils import DownloadError, ExtractorError, GeoRestrictedError, UnsupportedError

from helpers import download, media
from helpers.corpora.rows import Row
from helpers.downloading import video_pages, web
from helpers.downloading.addresses import Refusal
from helpers.settings import Settings

LOCAL = Settings.make(allow_private_addresses=True)
PATIENT = web.Limits(stall_s=30.0, total_s=600.0, waits_s=(0.01,))


def row(locator: str, source: str = "page", **changes: object) -> Row:
    """Makes a row that asks for two seconds of a video."""
    return manifest_rows.row(locator, source, **({"start_s": 1.0, "end_s": 3.0} | changes))


@pytest.fixture(scope="module")
def video() -> bytes:
    return marked_media.marked_video(0)


@pytest.fixture
def server(video, monkeypatch):
    monkeypatch.setattr(web, "LIMITS", PATIENT)
    for source in ("page", "youtube"):
        monkeypatch.setitem(video_pages.PACES, source, video_pages.Pace((0.0, 0.0), 0.0))
    with range_server() as running:
        running.files["clip.mp4"] = video
        yield running


# --- pieces and whole videos ---------------------------------------------------------------------


def test_one_look_serves_all_rows_of_a_video(server):
    server.files["page"] = b"<html><body><video src='/clip.mp4'></video></body></html>"
    server.kinds["page"] = "text/html"
    times = [(0.0, 2.0), (3.0, 5.5), (5.96, 8.0)]
    rows = [
        row(server.url("page"), clip_id=f"c{n}", start_s=a, end_s=b)
        for n, (a, b) in enumerate(times)
    ]
    clips = download.download_together(rows, LOCAL)
    for clip, (start_s, end_s) in zip(clips, times, strict=True):
        assert (clip["status"], clip["reason"]) == ("ok", "")
        assert marked_media.problems(clip["video"], 0, start_s, end_s) == []
    assert sum(path == "/page" for path, _ in server.requests) <= 2  # Its head, then its text.


def test_a_video_that_is_gone_is_asked_for_once(server):
    rows = [row(server.url("absent"), clip_id=f"c{n}") for n in range(5)]
    clips = download.download_together(rows, LOCAL)
    assert {clip["status"] for clip in clips} == {"gone"}
    assert len(server.requests) == 1


def test_where_ffmpeg_complains_the_whole_video_decides(server, monkeypatch):
    monkeypatch.setattr(video_pages.Video, "_ffmpeg", lambda *_: "Failed to open segment")
    clip = download.download(row(server.url("clip.mp4")), LOCAL)
    assert clip["status"] == "ok"
    assert marked_media.problems(clip["video"], 0, 1.0, 3.0) == []


@pytest.mark.parametrize("piece", [(0.0, 2.5), (0.0, 1.6)])
def test_a_piece_of_another_length_is_not_believed(server, monkeypatch, piece):
    """ffmpeg calls half a piece a success: here it is told to make a wrong one."""
    arguments = video_pages._arguments

    def wrong(info, _start, _seconds, path):
        return arguments(info, piece[0], piece[1] - piece[0], path)

    monkeypatch.setattr(video_pages, "_arguments", wrong)
    with video_pages.opened("page", server.url("clip.mp4"), LOCAL, PATIENT) as found:
        assert found.piece(1.0, 3.0) is None


def test_ffmpeg_never_loads_the_character_sets_of_the_machine(server, video, tmp_path, monkeypatch):
    """The static ffmpeg on Colab crashes of them at every transport stream; so does this one."""
    (tmp_path / "clip.mp4").write_bytes(video)
    marked_media.streamed(tmp_path / "clip.mp4", tmp_path / "clip")
    for path in (tmp_path / "clip").rglob("*.*"):
        server.files[str(path.relative_to(tmp_path))] = path.read_bytes()
    static = tmp_path / "it's static"
    crash = '[ -n "$GCONV_PATH" ] && [ ! -e "$GCONV_PATH" ] || kill -SEGV $$'
    static.write_text(f'#!/bin/sh\n{crash}\nexec {video_pages.ffmpeg_path()} "$@"\n')
    static.chmod(0o700)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(static))
    with video_pages.opened("page", server.url("clip/hls/stream.m3u8"), LOCAL, PATIENT) as found:
        assert found.piece(1.0, 3.0) is not None
    with video_pages.opened("page", server.url("clip/split/stream.m3u8"), LOCAL, PATIENT) as found:
        assert media.stream_seconds(found.whole()) == pytest.approx((8.0, 8.0), abs=0.1)


def test_ffmpeg_is_called_itself_where_no_program_can_be_written(server, tmp_path, monkeypatch):
    monkeypatch.setattr(video_pages.os, "access", lambda *_: False)
    monkeypatch.setattr(video_pages.shlex, "quote", lambda _: "false")
    with video_pages.opened("page", server.url("clip.mp4"), LOCAL, PATIENT) as found:
        assert found.piece(1.0, 3.0) is not None


def test_a_stalled_server_does_not_hold_up_the_batch(server, monkeypatch):
    """It stalls for good, so coming back is the proof, and not because all the time was over."""
    monkeypatch.setattr(web, "LIMITS", dataclasses.replace(PATIENT, stall_s=1.0))
    server.stop_stalling = UntilTheEnd()
    clip = download.download(row(server.url("clip.mp4?stall=9000")), LOCAL)
    assert (clip["status"], "too slow" in clip["reason"]) == ("failed", False)


def test_nothing_is_left_behind(server, tmp_path, monkeypatch):
    monkeypatch.setattr(video_pages.tempfile, "tempdir", str(tmp_path))
    for name in ("clip.mp4", "clip.mp4?status=403", "clip.mp4?norange"):
        download.download(row(server.url(name)), LOCAL)
    assert list(tmp_path.iterdir()) == []


def test_videos_keep_their_distance(monkeypatch):
    pace = video_pages.Pace((20.0, 30.0), 0.0)
    now, pauses = 1000.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        pauses.append(seconds)
        now += seconds

    clock = types.SimpleNamespace(monotonic=lambda: now, sleep=sleep)
    monkeypatch.setattr(video_pages, "time", clock)
    for busy_s in (0.0, 12.0, 50.0, 0.0):
        now += busy_s
        pace.wait()
    first, second, third, fourth = pauses
    assert (first, third) == (0.0, 0.0), "nothing has been asked for lately"
    assert 8.0 <= second <= 18.0, "twelve seconds of the pause were over"
    assert 20.0 <= fourth <= 30.0


# --- where pages may not lead --------------------------------------------------------------------


def elsewhere(server, page: str, name: str = "page", kind: str = "text/html") -> str:
    server.files[name] = page.encode()
    server.kinds[name] = kind
    return server.url(name)


@pytest.fixture
def inside(monkeypatch):
    """The port of the test server alone counts as public; all else here is private."""
    from helpers.downloading import addresses

    def allow(port: int) -> None:
        resolve = addresses.require_public

        def require(host: str, asked: int) -> list[tuple]:
            if asked == port:
                return addresses.socket.getaddrinfo(host, asked, type=1)
            return resolve(host, asked)

        monkeypatch.setattr(addresses, "require_public", require)

    return allow


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        ("<video src='{secret}'></video>", "text/html"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{secret}\n#EXT-X-ENDLIST", "hls"),
    ],
    ids=["page", "HLS"],
)
def test_pages_cannot_lead_into_this_machine(server, inside, video, page, kind):
    with range_server() as private:
        private.files["secret.ts"] = private.files["secret.mp4"] = video
        inside(server.server_address[1])
        hls = kind == "hls"
        secret = private.url("secret.ts" if hls else "secret.mp4")
        kind = "application/vnd.apple.mpegurl" if hls else kind
        address = elsewhere(server, page.format(secret=secret), "s.m3u8" if hls else "page", kind)
        clip = download.download(row(address))
        assert (clip["status"], "own network" in clip["reason"]) == ("rejected", True)
        assert private.requests == []


def test_redirects_cannot_lead_into_this_machine(server, inside):
    with range_server() as private:
        inside(server.server_address[1])
        for source in ("page", "https"):
            address = server.url(f"go?to={private.url('secret.mp4')}")
            clip = download.download(row(address, source))
            assert (clip["status"], "own network" in clip["reason"]) == ("rejected", True)
        assert private.requests == []


def test_a_no_proxy_in_the_environment_opens_no_side_door(server, inside, video, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("NO_PROXY", "*")
    test_pages_cannot_lead_into_this_machine(
        server, inside, video, "<video src='{secret}'></video>", "text/html"
    )


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/a.mp4", "concat:/etc/passwd"]
)
def test_other_schemes_on_a_page_are_refused(server, target):
    page = f"<html><body><video src='{target}'></video></body></html>"
    clip = download.download(row(elsewhere(server, page)), LOCAL)
    assert clip["status"] in ("rejected", "failed", "gone")
    assert clip["video"] is None


def test_too_much_is_cut_off(server, monkeypatch):
    monkeypatch.setattr(web, "LIMITS", dataclasses.replace(PATIENT, size=20_000))
    clip = download.download(row(server.url("clip.mp4?nolength")), LOCAL)
    assert (clip["status"], "larger than" in clip["reason"]) == ("rejected", True)


def test_too_slow_is_cut_off(server, monkeypatch):
    monkeypatch.setattr(web, "LIMITS", dataclasses.replace(PATIENT, total_s=2.0))
    clip = download.download(row(server.url("clip.mp4?trickle")), LOCAL)
    assert (clip["status"], "too slow" in clip["reason"]) == ("failed", True)


HOSTILE = [
    "$(touch /tmp/owned)",
    "`id`",
    "../../etc/passwd",
    "-rf",
    "a\nb",
    "x" * 300,
    "‮abcdefghij",
]


@pytest.mark.parametrize("locator", HOSTILE)
def test_hostile_ids_are_refused_before_anything_is_asked(server, locator):
    accepted = Settings.make(accept_youtube_terms=True)
    clip = download.download(row(locator, "youtube"), accepted)
    assert (clip["status"], clip["reason"]) == (
        "rejected",
        "This is not the id of a YouTube video.",
    )


def test_hostile_names_of_the_server_stay_text(server, tmp_path, monkeypatch, video):
    monkeypatch.chdir(tmp_path)
    name = "$(touch owned);`id`../../x.mp4"
    server.files[name] = video
    clip = download.download(row(server.url(urllib.parse.quote(name, ""))), LOCAL)
    assert clip["status"] == "ok"
    assert list(tmp_path.iterdir()) == []


# --- YouTube -------------------------------------------------------------------------------------


def test_youtube_wants_its_terms_accepted():
    clip = download.download(row("abcdefghijk", "youtube"))
    assert (clip["status"], "ACCEPT_YOUTUBE_TERMS" in clip["reason"]) == ("rejected", True)


@pytest.fixture
def youtube(server, monkeypatch):
    """Sends the rows of YouTube to a page of the test server."""
    monkeypatch.setattr(video_pages, "WATCH", server.url("clip.mp4?v="))
    monkeypatch.setitem(video_pages._EXTRACTORS, "youtube", video_pages._EXTRACTORS["page"])
    return server


def test_cookies_are_copied_and_never_changed(youtube, tmp_path, monkeypatch):
    cookies = tmp_path / "cookies.txt"
    line = "127.0.0.1\tFALSE\t/\tFALSE\t4102444800\tSID\tsecret"
    cookies.write_text(f"# Netscape HTTP Cookie File\n{line}\n")
    before = cookies.read_bytes()
    seen = []
    arguments = video_pages._arguments

    def spied(info, start_s, seconds, path):
        copied = path.parent / "cookies.txt"
        folder = stat.S_IMODE(copied.parent.stat().st_mode)
        seen.append((folder, stat.S_IMODE(copied.stat().st_mode)))
        made = arguments(info, start_s, seconds, path)
        assert "secret" not in " ".join(made)
        return made

    monkeypatch.setattr(video_pages, "_arguments", spied)
    settings = Settings.make(
        allow_private_addresses=True, accept_youtube_terms=True, cookies=str(cookies)
    )
    clip = download.download(row("abcdefghijk", "youtube"), settings)
    assert (clip["status"], clip["reason"]) == ("ok", "")
    assert seen == [(0o700, 0o600)]
    assert cookies.read_bytes() == before
    assert list(tmp_path.iterdir()) == [cookies]


def test_missing_cookies_are_named(youtube, tmp_path):
    settings = Settings.make(accept_youtube_terms=True, cookies=str(tmp_path / "absent"))
    clip = download.download(row("abcdefghijk", "youtube"), settings)
    assert "COOKIES" in clip["reason"]


def said(text: str, inner: Exception | None = None) -> DownloadError:
    """An error as `YoutubeDL` raises it."""
    inner = inner or ExtractorError(text, expected=True)
    return DownloadError(f"ERROR: [youtube] abcdefghijk: {text}", (type(inner), inner, None))


class Response:
    """What yt-dlp's HTTPError looks at."""

    def __init__(self, status: int) -> None:
        self.status, self.reason = status, "no"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (said("Sign in to confirm you’re not a bot. Use --cookies"), "blocked"),
        (said("The current session has been rate-limited by YouTube for up to an hour"), "blocked"),
        (said("Please solve the captcha"), "blocked"),
        (said("HTTP Error 429: Too Many Requests", HTTPError(Response(429))), "blocked"),
        (said("Unable to download", HTTPError(Response(429))), "blocked"),
        (said("Private video. Sign in if you've been granted access"), "gone"),
        (said("Video unavailable. This video has been removed by the uploader"), "gone"),
        (said("Video unavailable. The account has been terminated"), "gone"),
        (said("Video unavailable"), "gone"),
        (said("This video is no longer available due to a copyright claim"), "gone"),
        (said("not found", HTTPError(Response(404))), "gone"),
        (said("gone", HTTPError(Response(410))), "gone"),
        (said("Sign in to confirm your age"), "rejected"),
        (said("Join this channel to get access to members-only content"), "rejected"),
        (
            said(
                "not here",
                GeoRestrictedError("The uploader has not made it available in your country"),
            ),
            "rejected",
        ),
        (said("The uploader has not made this video available in your country"), "rejected"),
        (said("Premieres in 3 hours"), "rejected"),
        (UnsupportedError("https://example.org/"), "rejected"),
        (said("HTTP Error 403: Forbidden", HTTPError(Response(403))), "failed"),
        (said("HTTP Error 503: Service Unavailable", HTTPError(Response(503))), "failed"),
        (said("timed out", TransportError("timed out")), "failed"),
        (said("Requested format is not available. Use --list-formats"), "failed"),
        (DownloadError("ffmpeg exited with code 8"), "failed"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, Exception) else "",
)
def test_errors_of_yt_dlp_have_their_class(error, status):
    found = video_pages.refusal(error)
    assert isinstance(found, Refusal)
    assert found.status == status, found.reason
    assert 10 < len(found.reason) < 100
    assert found.reason.endswith(".")


def test_reasons_never_carry_addresses_or_cookies():
    found = video_pages.refusal(
        said("odd thing at https://a.b/c?sid=secret and Cookie: SID=secret")
    )
    assert "https" not in found.reason
    assert len(found.reason) < 100


def test_first_not_a_bot_stops_the_batch(youtube, tmp_path, monkeypatch):
    from helpers.manifests import Manifest
    from helpers.tables import Workspace

    monkeypatch.setattr(video_pages, "WATCH", youtube.url("clip.mp4?status=429&v="))
    rows = [row(f"abcdefghij{n}", "youtube", clip_id=f"c{n}") for n in range(4)]
    settings = Settings.make(
        allow_private_addresses=True, accept_youtube_terms=True, workspace=str(tmp_path)
    )
    manifest = Manifest(tuple(rows))
    workspace = Workspace(Path(tmp_path), settings).use(manifest)
    session = types.SimpleNamespace(workspace=workspace, manifest=manifest)
    with pytest.raises(download.BatchStop, match="'c0'"):
        download.build_clips(session)
    assert len(youtube.requests) == 1


def test_a_batch_from_youtube_wants_the_terms_accepted(tmp_path):
    from helpers.manifests import Manifest
    from helpers.tables import Workspace

    manifest = Manifest((row("abcdefghijk", "youtube"),))
    workspace = Workspace(tmp_path, Settings.make()).use(manifest)
    session = types.SimpleNamespace(workspace=workspace, manifest=manifest)
    with pytest.raises(download.BatchStop, match="ACCEPT_YOUTUBE_TERMS = True"):
        download.build_clips(session)
    assert not workspace.table("clips").complete
