"""Every row gets a clip or a plain reason, and the others go on."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import re
import sys
import types
from pathlib import Path

import av
import pytest
import synthetic_media as made
from conftest import UntilTheEnd
from manifest_rows import row
from range_server import range_server

from helpers import download, media
from helpers.corpora.rows import Row
from helpers.downloading import addresses, web
from helpers.manifests import Manifest
from helpers.settings import Settings
from helpers.tables import Workspace

LOCAL = Settings.make(allow_private_addresses=True)
PATIENT = web.Limits(stall_s=30.0, total_s=600.0, waits_s=(0.01, 0.01))
REAL_CLIPS = Path(__file__).parents[1] / "../shared/real_media/clips"


@pytest.fixture(scope="module")
def video() -> bytes:
    return made.media_file(size=(640, 480), seconds=3.0)


@pytest.fixture
def server(video, monkeypatch):
    monkeypatch.setattr(web, "LIMITS", PATIENT)
    with range_server() as running:
        running.files["clip.mp4"] = video
        yield running


@pytest.fixture
def hasty(server, monkeypatch):
    """Gives up a stalled server soon, which stalls for good: coming back is the proof."""
    monkeypatch.setattr(web, "LIMITS", dataclasses.replace(PATIENT, stall_s=0.3))
    server.stop_stalling = UntilTheEnd()


def session(rows: list[Row], folder: Path) -> types.SimpleNamespace:
    manifest = Manifest(tuple(rows))
    workspace = Workspace(folder, LOCAL)
    workspace.use(manifest)
    return types.SimpleNamespace(workspace=workspace, manifest=manifest)


# --- files ---------------------------------------------------------------------------------------


def test_file_becomes_a_clip(tmp_path, video):
    path = tmp_path / "a.mp4"
    path.write_bytes(video)
    clip = download.download(row(path, start_s=0.5, end_s=2.5, face_x=0.25, face_y=0.5, age=40.0))
    assert set(clip) == set(download.SCHEMA.names)
    assert (clip["status"], clip["reason"]) == ("ok", "")
    assert (clip["width"], clip["height"]) == (480, 360)
    assert clip["duration_s"] == pytest.approx(2.0, abs=0.05)
    assert clip["sha256"] == hashlib.sha256(clip["video"]).hexdigest()
    assert (clip["face_x"], clip["face_y"], clip["age"]) == (0.25, 0.5, 40.0)
    assert media.probe(clip["video"]).video_codec == "h264"


BAD_FILES = {
    "missing": (None, "gone", "missing"),
    "empty": (b"", "rejected", "empty"),
    "text": (b"Dear diary, nothing moves here.\n" * 99, "rejected", "not audio or video"),
    "no_sound": (made.media_file(audio=None), "rejected", "no sound"),
    "no_video": (made.media_file(video=None), "rejected", "no video"),
    "short_sound": (made.media_file(sound=made.tone(0.2)), "rejected", " s of sound"),
    "short_video": (made.media_file(times=[0.0, 0.04]), "rejected", "only 0.1 s of video"),
    "truncated": (
        (whole := download.media.normalise(made.media_file()))[: len(whole) // 2],
        "rejected",
        "cut short",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_get_a_reason(tmp_path, name):
    content, status, words = BAD_FILES[name]
    path = tmp_path / f"{name}.mp4"
    if content is not None:
        path.write_bytes(content)
    clip = download.download(row(path))
    assert (clip["status"], clip["video"]) == (status, None)
    assert words in clip["reason"]
    assert re.fullmatch(r"[A-Z].{5,90}\.", clip["reason"])


@pytest.mark.parametrize(
    "content",
    [
        made.media_file(sound=made.tone(2.0, 8_000), sound_rate=8_000),
        made.media_file(sound=made.tone(2.0, 48_000, 2), sound_rate=48_000),
        made.media_file("webm", "libvpx", "libopus", sound_rate=48_000),
        made.media_file(times=[0.0, 0.1, 0.5, 0.51, 1.2, 1.9]),
        made.turned(made.media_file(), 1),
    ],
    ids=["8kHz", "48kHz-stereo", "webm", "variable-rate", "rotated"],
)
def test_unusual_files_are_fine(tmp_path, content):
    path = tmp_path / "clip.bin"
    path.write_bytes(content)
    clip = download.download(row(path))
    assert (clip["status"], clip["reason"]) == ("ok", "")


def test_av1_is_fine(tmp_path):
    if "libsvtav1" not in av.codecs_available:
        pytest.skip("this PyAV has no AV1 encoder to make the file with")
    path = tmp_path / "clip.mp4"
    path.write_bytes(made.media_file(video="libsvtav1"))
    assert download.download(row(path))["status"] == "ok"


@pytest.mark.parametrize(
    ("start_s", "end_s", "words"), [(9.0, 12.0, "begins at 9.0 s"), (1.0, 7.0, "ends at 7.0 s")]
)
def test_pieces_outside_the_video_are_rejected(tmp_path, video, start_s, end_s, words):
    path = tmp_path / "a.mp4"
    path.write_bytes(video)
    clip = download.download(row(path, start_s=start_s, end_s=end_s))
    assert clip["status"] == "rejected"
    assert words in clip["reason"]


@pytest.mark.skipif(not REAL_CLIPS.is_dir(), reason="the folder of real clips is absent")
def test_real_clips_are_fine():
    clips = [download.download(row(path)) for path in sorted(REAL_CLIPS.glob("*.mpg"))]
    assert [(clip["status"], clip["width"], clip["height"]) for clip in clips] == [
        ("ok", 360, 288)
    ] * 7


# --- the web -------------------------------------------------------------------------------------


def fetched(server, tmp_path: Path, name: str, limits: web.Limits = PATIENT) -> bytes:
    path = tmp_path / "file"
    web.fetch(server.url(name), path, limits)
    return path.read_bytes()


def test_address_becomes_a_clip(server, video):
    clip = download.download(row(server.url("clip.mp4"), "https", start_s=1.0, end_s=2.0), LOCAL)
    assert (clip["status"], clip["reason"]) == ("ok", "")
    assert made.number_in(media.read_frames(clip["video"], [0.0])[0][1]) == 25


def test_server_that_hides_the_length(server, tmp_path, video):
    assert fetched(server, tmp_path, "clip.mp4?nolength") == video


@pytest.mark.parametrize("fault", ["", "&norange"])
def test_broken_transfer_goes_on(server, tmp_path, video, fault):
    assert fetched(server, tmp_path, f"clip.mp4?drop=5000{fault}") == video
    assert [asked for _, asked in server.requests] == ["", "bytes=5000-"]


def test_changed_file_is_not_joined(server, tmp_path, video):
    path = tmp_path / "file"
    other = bytes(reversed(video))

    def change(_seconds: float) -> None:
        server.files["clip.mp4"] = other

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web.time, "sleep", change)
        web.fetch(server.url("clip.mp4?drop=5000"), path, PATIENT)
    assert path.read_bytes() == other


def test_passing_trouble_is_sat_out(server, tmp_path, video):
    assert fetched(server, tmp_path, "clip.mp4?status=503&times=2") == video


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("absent.mp4", "gone", "404"),
        ("clip.mp4?status=410", "gone", "410"),
        ("clip.mp4?status=429", "blocked", "429"),
        ("clip.mp4?status=403", "failed", "403"),
        ("clip.mp4?status=403&page=Prove+you+are+not+a+bot", "blocked", "403"),
        ("clip.mp4?status=503", "failed", "503"),
        ("clip.mp4?to=file:///etc/passwd", "rejected", "file://"),
        ("clip.mp4?to=ftp://127.0.0.1/clip.mp4", "rejected", "ftp://"),
        ("page", "rejected", "web page"),
        ("captcha", "blocked", "robot"),
        ("text.mp4", "rejected", "not audio or video"),
    ],
)
def test_what_goes_wrong_on_the_web(server, name, status, words):
    server.files |= {"page": b"<html>Hello", "captcha": b"<html>CAPTCHA", "text.mp4": b"hello" * 99}
    server.kinds |= {"page": "text/html; charset=utf-8", "captcha": "text/html"}
    clip = download.download(row(server.url(name), "https"), LOCAL)
    assert (clip["status"], clip["video"]) == (status, None)
    assert words in clip["reason"]
    assert re.fullmatch(r"[A-Z0-9].{5,90}\.", clip["reason"])


@pytest.mark.parametrize("fault", ["stall=5000", "trickle"])
def test_a_server_that_sends_next_to_nothing_is_given_up(server, hasty, fault):
    clip = download.download(row(server.url(f"clip.mp4?{fault}"), "https"), LOCAL)
    assert (clip["status"], clip["video"]) == ("failed", None)
    # On a busy machine the answer itself may come too late.
    assert re.search("stopped sending|did not answer within", clip["reason"])


def test_redirects_are_followed_but_not_for_ever(server, tmp_path, video):
    assert fetched(server, tmp_path, f"first?to={server.url('clip.mp4')}") == video
    clip = download.download(row(server.url("loop?to=/loop?to=/loop"), "https"), LOCAL)
    assert clip["status"] in ("failed", "gone")
    assert len(server.requests) < 20


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://a.b/c", "https://", "clip.mp4"])
def test_other_schemes_are_refused(address):
    clip = download.download(row(address, "https"), LOCAL)
    assert (clip["status"], clip["reason"]) == (
        "rejected",
        "The address does not begin with https://.",
    )


@pytest.mark.parametrize("header", ["Location", "URI"])
def test_https_does_not_fall_back_to_http(header):
    request = web.urllib.request.Request("https://a.b/c")
    with pytest.raises(web.Refusal, match="http://"):
        web._Redirects().http_error_302(request, None, 302, "", {header: "http://a.b/c"})


@pytest.mark.parametrize("fault", ["", "?nolength"])
def test_too_large_files_are_refused(server, tmp_path, fault):
    with pytest.raises(web.Refusal, match="larger than") as caught:
        fetched(server, tmp_path, f"clip.mp4{fault}", web.Limits(size=2_000))
    assert caught.value.status == "rejected"


def test_absent_server_is_no_catastrophe(nobody, monkeypatch):
    monkeypatch.setattr(web, "LIMITS", PATIENT)
    clip = download.download(row(f"http://{nobody}/clip.mp4", "https"), LOCAL)
    assert (clip["status"], clip["reason"]) == ("failed", "There is no connection to 127.0.0.1.")


def test_nothing_is_left_behind(server, hasty, tmp_path, monkeypatch):
    monkeypatch.setattr(download.tempfile, "tempdir", str(tmp_path))
    download.download(row(server.url("clip.mp4"), "https"), LOCAL)
    download.download(row(server.url("clip.mp4?stall=5000"), "https"), LOCAL)
    assert list(tmp_path.iterdir()) == []


def test_pointers_to_large_files_are_named(server):
    server.files["lfs"] = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n"
    clip = download.download(row(server.url("lfs"), "https"), LOCAL)
    assert (clip["status"], "pointer of Git LFS" in clip["reason"]) == ("rejected", True)


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:{port}/clip.mp4",
        "http://localhost:{port}/clip.mp4",
        "http://2130706433:{port}/clip.mp4",
        "http://[::ffff:127.0.0.1]:{port}/clip.mp4",
        "http://[2002:7f00:1::]:{port}/clip.mp4",
        "http://[64:ff9b::7f00:1]:{port}/clip.mp4",
        "http://[64:ff9b:1::808:808]/clip.mp4",
        "http://10.1.2.3/clip.mp4",
        "http://169.254.169.254/latest/meta-data",
    ],
)
@pytest.mark.parametrize("source", ["https", "page"])
def test_addresses_of_this_machine_and_its_network_are_refused(server, source, address):
    address = address.format(port=server.server_address[1])
    clip = download.download(row(address, source))
    assert (clip["status"], "own network, which is refused" in clip["reason"]) == ("rejected", True)
    assert server.requests == []


@pytest.mark.parametrize("number", ["8.8.8.8", "64:ff9b::808:808", "2002:808:808::"])
def test_public_addresses_are_known(number):
    assert addresses.is_public(number)


# --- the Archipelago and the table ---------------------------------------------------------------


@pytest.fixture
def stage(monkeypatch, video):
    """Stands in for the Archipelago's renderer."""

    def render(locator: str) -> bytes:
        fault = locator.split("/")[2:]
        if fault == ["gone"]:
            raise FileNotFoundError(locator)
        whole = media.write_video([made.numbered_picture(0)] * 50, made.tone(2.0)[0])
        return whole[: len(whole) // 2] if fault == ["truncated"] else whole

    room = types.ModuleType("helpers.archipelago.clips")
    room.render, room.face_position = render, lambda _locator: (0.4, 0.6)
    monkeypatch.setitem(sys.modules, room.__name__, room)
    monkeypatch.setattr(sys.modules["helpers.archipelago"], "clips", room, raising=False)
    monkeypatch.setattr("helpers.workers.worker_count", lambda: 1)
    return room


def islanders(*locators: str) -> list[Row]:
    return [
        row(
            locator,
            "archipelago",
            clip_id=f"clip-{number}",
            speaker_id=f"islander-{locator.split('/')[0]}",
        )
        for number, locator in enumerate(locators)
    ]


def test_archipelago_clips(stage, tmp_path):
    here = session(islanders("3/0", "3/1", "5/0/gone", "7/0/truncated"), tmp_path)
    report = download.build_clips(here)
    assert (report.made, report.kept, report.rows) == (4, 0, 4)
    table = here.workspace.require("clips")
    assert table.counts("status") == {"ok": 2, "gone": 1, "rejected": 1}
    clips = list(table.rows())
    assert [clip["clip_id"] for clip in clips] == [f"clip-{n}" for n in range(4)]
    assert clips[0]["face_x"] == pytest.approx(0.4)
    assert "cut short" in clips[3]["reason"]
    again = download.build_clips(here)
    assert (again.made, again.kept) == (0, 4)


def test_a_clip_is_as_long_and_as_fast_as_asked_for(tmp_path, video):
    (tmp_path / "a.mp4").write_bytes(video)
    asked = Settings.make(clip_seconds=1.5, clip_rate=10)
    for wanted in (row(tmp_path / "a.mp4"), *islanders("3/0")):
        clip = download.download(wanted, asked)
        assert clip["duration_s"] == pytest.approx(1.5, abs=0.15), clip["reason"]
        assert media.probe(clip["video"]).rate == 10


@pytest.mark.parametrize("verbosity", ["normal", "verbose"])
def test_each_clip_has_its_line_where_that_is_asked_for(stage, capsys, verbosity):
    rows = [dataclasses.asdict(one) for one in islanders("3/0", "3/0/gone")]
    download.clips_of_shard(rows, Settings.make(verbosity=verbosity))
    lines = [line for line in capsys.readouterr().out.splitlines() if ": " in line]
    assert len(lines) == (2 if verbosity == "verbose" else 0)
    assert verbosity == "normal" or "gone The source no longer has the clip." in lines[1]


def test_latents_are_one_row_per_islander(tmp_path):
    here = session(islanders("3/0", "3/1", "19/0"), tmp_path)
    assert download.build_latents(here).rows == 2
    rows = list(here.workspace.require("latents").rows())
    assert [entry["speaker_id"] for entry in rows] == ["islander-3", "islander-19"]
    assert [entry["split"] for entry in rows] == ["train", "validation"]
    assert len(rows[0]["shape"]) == 8


def test_other_corpora_have_no_latents(tmp_path):
    assert download.build_latents(session([row("a.mp4")], tmp_path)) is None


def test_blocked_address_stops_the_batch(server, tmp_path):
    names = ("clip.mp4", "clip.mp4?status=429", "clip.mp4?never")
    rows = [row(server.url(n), "https", clip_id=f"c{i}") for i, n in enumerate(names)]
    here = session(rows, tmp_path)
    with pytest.raises(
        download.BatchStop, match="'c1'.*wants no more requests.*run this cell"
    ) as told:
        download.build_clips(here)
    assert rows[1].locator in str(told.value), "one odd server is known by its address"
    assert "the line clip,c1,blocked in data_manifest/exclusions.csv" in str(told.value)
    assert not any("never" in path for path, _ in server.requests)
    assert not here.workspace.table("clips").complete


def test_clips_before_a_stop_are_not_asked_for_again(server, tmp_path):
    names = ("clip.mp4", "clip.mp4?status=429&times=1", "clip.mp4?last")
    rows = [row(server.url(n), "https", clip_id=f"c{i}") for i, n in enumerate(names)]
    here = session(rows, tmp_path)
    with pytest.raises(download.BatchStop):
        download.build_clips(here)
    asked = len(server.requests)
    download.build_clips(here)
    assert here.workspace.require("clips").counts("status") == {"ok": 3}
    assert [path for path, _ in server.requests[asked:]] == [f"/{name}" for name in names[1:]]
    assert not list((tmp_path / "waiting").iterdir())


def test_a_clip_that_waits_is_of_no_use_to_a_run_that_wants_another(server, tmp_path):
    rows = [
        dataclasses.asdict(row(server.url(name), "https", clip_id=name[:4]))
        for name in ("clip.mp4", "stop.mp4?status=429&times=1")
    ]
    server.files["stop.mp4"] = server.files["clip.mp4"]
    asked = dataclasses.replace(LOCAL, workspace=str(tmp_path))
    with pytest.raises(download.BatchStop):
        download.clips_of_shard(rows, asked)
    shorter = dataclasses.replace(asked, clip_seconds=1.0)
    clips = download.clips_of_shard(rows, shorter)
    assert [clip["duration_s"] for clip in clips] == pytest.approx([1.0, 1.0], abs=0.05)


def test_rows_that_failed_are_tried_again_twice_in_later_runs(server, tmp_path):
    server.files |= {f"{number}.mp4": server.files["clip.mp4"] for number in range(3)}
    rows = [
        row(server.url(f"{number}.mp4?status=403&times={times}"), "https", clip_id=f"c{number}")
        for number, times in enumerate((1, 2, 9))
    ]
    here = session([*rows, row(server.url("absent"), "https", clip_id="gone")], tmp_path)
    statuses = []
    for _ in range(4):
        download.build_clips(here)
        clips = here.workspace.require("clips").rows(["status"])
        statuses.append([clip["status"] for clip in clips])
    assert statuses == [
        ["failed", "failed", "failed", "gone"],
        ["ok", "failed", "failed", "gone"],
        ["ok", "ok", "failed", "gone"],
        ["ok", "ok", "failed", "gone"],
    ]
    assert sum(path.startswith("/2.mp4") for path, _ in server.requests) == 3
    assert sum(path == "/absent" for path, _ in server.requests) == 1


def test_a_missing_package_stops_the_batch_and_spoils_no_row(server, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yt_dlp", None)
    here = session([row(server.url("clip.mp4"), "page")], tmp_path)
    with pytest.raises(download.BatchStop, match="package is missing: .*yt_dlp.*pip install -r"):
        download.build_clips(here)
    assert not here.workspace.table("clips").complete


def test_cookies_and_a_cluster_do_not_go_together(tmp_path):
    (tmp_path / "cookies.txt").touch()
    asked = {"cookies": str(tmp_path / "cookies.txt"), "accept_youtube_terms": True}
    here = session([row("dQw4w9WgXcQ", "youtube")], tmp_path)
    here.workspace.settings = Settings.make(dask="tcp://somewhere:1", **asked)
    with pytest.raises(download.BatchStop, match="COOKIES names a file of this machine.*DASK"):
        download.build_clips(here)


def test_full_disk_stops_the_batch(stage, tmp_path, monkeypatch):
    def render(_locator: str) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stage, "render", render)
    with pytest.raises(download.BatchStop, match="disk is full"):
        download.build_clips(session(islanders("3/0"), tmp_path))


def test_unexpected_errors_stay_in_their_row(stage, monkeypatch):
    def render(_locator: str) -> bytes:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(stage, "render", render)
    clip = download.download(islanders("3/0")[0])
    assert clip["status"] == "failed"
    assert "ZeroDivisionError" in clip["reason"]


def test_rendered_clip_passes_the_checks():
    clip = download.download(islanders("12/0")[0])
    assert (clip["status"], clip["reason"]) == ("ok", "")
    assert 0 <= clip["face_x"] <= 1
