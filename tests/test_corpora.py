"""Corpora: published lists and rules become rows; served by 127.0.0.1 as they are laid out."""

from __future__ import annotations

import collections
import os
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from conftest import ROOT
from range_server import RangeServer, range_server
from synthetic_media import media_file

from helpers import download, manifests
from helpers.corpora import choosing, exclusions, ravdess, remote_zip
from helpers.manifests import ManifestError
from helpers.settings import Settings

ACTORS = """"ActorID","Age","Sex","Race","Ethnicity"
1001,51,"Male","Caucasian","Not Hispanic"
1002,21,"Female","Caucasian","Not Hispanic"
1076,25,"Female","Asian","Hispanic"
"""
SENTENCES = ("IEO", "TIE", "MTI")
EMOTIONS = ("NEU", "HAP", "SAD")


@pytest.fixture
def server():
    remote_zip._archive.cache_clear()
    with range_server() as running:
        yield running


@pytest.fixture
def crema_d(server: RangeServer) -> RangeServer:
    """Serves CREMA-D's two lists; one clip is not in the list, as in the real one."""
    names = [
        f"{actor}_{sentence}_{emotion}_{'LO' if (sentence, emotion) == ('IEO', 'HAP') else 'XX'}"
        for actor in (1001, 1002, 1076)
        for sentence in SENTENCES
        for emotion in EMOTIONS
    ]
    names.remove("1002_TIE_NEU_XX")
    listed = "".join(f'{number},"{name}"\n' for number, name in enumerate(names, 1))
    server.files["VideoDemographics.csv"] = ACTORS.encode()
    server.files["SentenceFilenames.csv"] = ('"Stimulus_Number","Filename"\n' + listed).encode()
    server.kinds = dict.fromkeys(server.files, "text/plain")
    return server


@pytest.fixture
def load(server: RangeServer, tmp_path: Path):
    """Loads a corpus as the test server has it."""

    def loaded(corpus: str, **values: object) -> manifests.Manifest:
        settings = {
            "corpus_at": server.url("").rstrip("/"),
            "workspace": str(tmp_path / "workspace"),
            "allow_private_addresses": True,
            "accept_youtube_terms": corpus == "avspeech",
        }
        return manifests.load(Settings.make(corpus=corpus, **{**settings, **values}))

    return loaded


def zipped(names: list[str], content: bytes = b"a clip") -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return buffer.getvalue()


# --- CREMA-D -------------------------------------------------------------------------------------


def test_crema_d_is_made_of_its_two_lists(crema_d, load):
    row = load("crema_d", mode="full").rows[0]
    assert (row.clip_id, row.speaker_id) == ("1001_IEO_NEU_XX", "crema_d-1001")
    assert row.locator == crema_d.url("VideoFlash/1001_IEO_NEU_XX.flv")
    assert (row.sex, row.age, row.group, row.source) == ("M", 51.0, "Caucasian", "https")


def test_quick_mode_takes_two_neutral_clips_of_each_actor(crema_d, load):
    quick = load("crema_d")
    assert {row.clip_id.split("_")[2] for row in quick.rows} == {"NEU"}
    assert collections.Counter(row.speaker_id for row in quick.rows).most_common()[0][1] == 2
    assert len(quick.speakers()) == 3


def test_clips_that_crema_d_calls_broken_are_left_out_with_the_reason(crema_d, load):
    full = load("crema_d", mode="full")
    out = {row.clip_id: reason for row, reason in full.left_out}
    assert set(out) == {"1076_MTI_NEU_XX", "1076_MTI_SAD_XX"}
    assert "broken" in out["1076_MTI_NEU_XX"]
    assert len(full.rows) == 26 - 2


def test_lists_are_fetched_once(crema_d, load, capsys):
    load("crema_d")
    asked = len(crema_d.requests)
    assert not capsys.readouterr().out
    assert load("crema_d") == load("crema_d")
    assert len(crema_d.requests) == asked == 2


def test_a_kept_list_says_how_old_it_is_and_how_to_have_a_new_one(server, load, tmp_path, capsys):
    columns = "clip_id,corpus,source,locator,start_s,end_s,face_x,face_y,speaker_id,split"
    rows = [f"{name},mine,youtube,abcdefghij{name},,,,,{name},test" for name in "ab"]
    server.files["m.csv"] = "\n".join([columns, *rows]).encode()
    load("manifest", manifest=server.url("m.csv"))
    server.files["m.csv"] = "\n".join([columns, *rows[1:]]).encode()
    kept = next((tmp_path / "workspace" / "lists").iterdir())
    os.utime(kept, (0, 86_400 * 365))
    assert len(load("manifest", manifest=server.url("m.csv")).rows) == 2
    told = capsys.readouterr().out
    assert f"m.csv is kept from 1971-01-01: delete {kept} to ask" in told
    kept.unlink()
    assert len(load("manifest", manifest=server.url("m.csv")).rows) == 1


def test_a_list_that_is_not_there_is_named_with_what_to_do(load):
    with pytest.raises(ManifestError, match=r"VideoDemographics.csv cannot be had.*'archipelago'"):
        load("crema_d")


def test_a_login_page_in_place_of_a_list_is_no_list(crema_d, load):
    crema_d.kinds["VideoDemographics.csv"] = "text/html"
    with pytest.raises(ManifestError, match="a web page, not a list"):
        load("crema_d")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("SentenceFilenames.csv", b"1001_IEO_NEU_XX", b"../../etc/passwd"),
        ("SentenceFilenames.csv", b"1001_IEO_NEU_XX", b"9999_IEO_NEU_XX"),
        ("SentenceFilenames.csv", b"Filename", b"Name"),
        ("VideoDemographics.csv", b"51", b"old"),
    ],
)
def test_a_list_that_is_not_as_published_is_refused(crema_d, load, file, old, new):
    crema_d.files[file] = crema_d.files[file].replace(old, new)
    with pytest.raises(ManifestError, match="not as published"):
        load("crema_d", mode="full")


def test_a_hostile_word_in_a_list_is_refused(crema_d, load):
    crema_d.files["VideoDemographics.csv"] = ACTORS.replace("Asian", "A\u202esian").encode()
    with pytest.raises(ManifestError, match="column group"):
        load("crema_d", mode="full")


def test_a_list_larger_than_any_list_is_cut_off(crema_d, load):
    crema_d.files["VideoDemographics.csv"] = b"x" * 6_000_000
    with pytest.raises(ManifestError, match="larger than 5 MB"):
        load("crema_d")


# --- RAVDESS -------------------------------------------------------------------------------------


def test_ravdess_follows_from_its_naming_rule():
    manifest = manifests.load(Settings.make(corpus="ravdess", mode="full"))
    assert len(manifest.rows) == 1440
    assert collections.Counter(row.sex for row in manifest.rows) == {"F": 720, "M": 720}
    row = manifest.rows[-1]
    assert row.locator == (
        "https://zenodo.org/records/1188976/files/Video_Speech_Actor_24.zip?download=1"
        "#Actor_24/01-01-08-02-02-02-24.mp4"
    )
    assert (row.source, row.sex) == ("zip", "F")


def test_neutral_speech_has_one_strength_only():
    assert len(ravdess.names_of(7, [1])) == 4
    assert len(ravdess.names_of(7, [1, 2])) == 12


# --- GRID ----------------------------------------------------------------------------------------


def test_grid_is_made_of_the_contents_of_its_archives(server, load):
    plan = choosing.recipe("grid")
    for person in plan["women"] + plan["men"]:
        names = [f"s{person}/{name}.mpg" for name in ("bbaf2n", "lbbc2a", "pwij3p", "swwp2s")]
        noise = [f"s{person}/Thumbs.db", f"__MACOSX/s{person}/._bbaf2n.mpg"]
        server.files[f"s{person}.zip"] = zipped(names + noise)
    quick = load("grid")
    assert len(quick.rows) == 99
    assert len(quick.speakers()) == 33
    row = quick.select(speaker_id="grid-s1").rows[0]
    assert row.locator == server.url("s1.zip?download=1#s1/bbaf2n.mpg")
    assert (row.clip_id, row.sex) == ("grid-s1-bbaf2n", "M")
    asked = len(server.requests)
    assert len(load("grid", mode="full").rows) == 4 * 33
    assert len(server.requests) == asked, "the contents are kept"


# --- AVSpeech ------------------------------------------------------------------------------------

LINES = [
    f"{'-' if video % 7 == 0 else 'a'}{video:010d},{start:.6f},{start + 4.5:.6f},0.4,0.3"
    for video in range(200)
    for start in (30.03, 90.5)
]


@pytest.fixture
def avspeech_csv(tmp_path: Path) -> Path:
    path = tmp_path / "avspeech_train.csv"
    path.write_text("\n".join(LINES) + "\n")
    return path


def test_avspeech_is_read_with_the_place_of_the_face(avspeech_csv, load):
    row = load("avspeech", manifest=str(avspeech_csv), row_range="1").rows[0]
    assert (row.source, row.locator) == ("youtube", "-0000000000")
    assert row.clip_id == "v_-0000000000_030030_034530"
    assert (row.start_s, row.end_s, row.face_x, row.face_y) == (30.03, 34.53, 0.4, 0.3)


def test_all_pieces_of_a_video_are_in_one_split(avspeech_csv, load):
    manifest = load("avspeech", manifest=str(avspeech_csv), row_range="1-")
    splits = collections.defaultdict(set)
    for row in manifest.rows:
        splits[row.locator].add(row.split)
    assert len(splits) == 200
    assert all(len(split) == 1 for split in splits.values())
    assert set.union(*splits.values()) == {"train", "validation", "test"}


def test_avspeech_is_taken_in_small_numbers_unless_told_otherwise(avspeech_csv, load):
    assert len(load("avspeech", manifest=str(avspeech_csv)).rows) == 50
    assert len(load("avspeech", manifest=str(avspeech_csv), rows=7).rows) == 7
    ranged = load("avspeech", manifest=str(avspeech_csv), row_range="101-160").rows
    assert [row.start_s for row in ranged[:2]] == [30.03, 90.5]
    assert len(ranged) == 60


def test_avspeech_comes_from_an_address_as_well(server, avspeech_csv, load):
    server.files["avspeech_test.csv"] = avspeech_csv.read_bytes()
    server.kinds["avspeech_test.csv"] = "text/csv"
    assert len(load("avspeech", manifest=server.url("avspeech_test.csv")).rows) == 50


def test_avspeech_wants_the_terms_accepted_and_its_csv():
    with pytest.raises(ValueError, match="accept_youtube_terms=True"):
        Settings.make(corpus="avspeech", manifest="x.csv")
    with pytest.raises(ValueError, match="looking-to-listen"):
        Settings.make(corpus="avspeech", accept_youtube_terms=True)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("$(touch hacked),1,4,0.5,0.5", "column locator"),
        ("--exec=rm -r,1,4,0.5,0.5", "column locator"),
        ("a0000000000,4,1,0.5,0.5", "column end_s"),
        ("a0000000000,nan,4,0.5,0.5", "column start_s"),
        ("a0000000000,1,4,1.5,0.5", "column face_x"),
        ("a0000000000,1", "2 values, not 5"),
        ("", "there are no rows"),
    ],
)
def test_a_bad_line_of_avspeech_is_named(tmp_path, load, line, words):
    path = tmp_path / "avspeech.csv"
    path.write_text(f"{LINES[0]}\n\n{line}\n" if line else "")
    with pytest.raises(ManifestError, match=words) as caught:
        load("avspeech", manifest=str(path), row_range="1-")
    assert not line or "line 3" in str(caught.value)


# --- from the rows to the clips ------------------------------------------------------------------


def made(manifest: manifests.Manifest) -> dict[str, dict]:
    """Downloads the clips of a manifest."""
    allowed = Settings.make(allow_private_addresses=True)
    return {row.clip_id: download.download(row, allowed) for row in manifest.rows}


def test_clips_of_crema_d_come_as_flash_videos(crema_d, load):
    flash = media_file("flv", "flv", "libmp3lame", seconds=1.5, sound_rate=44_100)
    for name in ("1001_IEO_NEU_XX", "1002_IEO_NEU_XX"):
        crema_d.files[f"VideoFlash/{name}.flv"] = flash
    crema_d.kinds["VideoFlash/1001_IEO_NEU_XX.flv"] = "video/x-flv"
    crema_d.files["VideoFlash/1002_MTI_NEU_XX.flv"] = b"version https://git-lfs.github.com/spec/v1"
    clips = made(load("crema_d"))
    assert clips["1001_IEO_NEU_XX"]["status"] == "ok", clips["1001_IEO_NEU_XX"]["reason"]
    assert clips["1001_IEO_NEU_XX"]["duration_s"] == pytest.approx(1.5, abs=0.1)
    assert "Git LFS" in clips["1002_MTI_NEU_XX"]["reason"]
    assert clips["1001_TIE_NEU_XX"]["status"] == "gone"


def test_clips_of_ravdess_are_read_out_of_the_archive(server, load):
    names = [f"Actor_01/{name}.mp4" for name in ravdess.names_of(1, [1])]
    wide = media_file(size=(640, 360), seconds=1.0)
    server.files["Video_Speech_Actor_01.zip"] = zipped(names[:3] + ["Actor_01/x.mp4"], wide)
    clips = made(load("ravdess", row_range="1-4"))
    assert [clip["status"] for clip in clips.values()] == ["ok", "ok", "ok", "gone"]
    assert len(server.requests) <= 4, "the contents once, then at most a piece for each clip"


def test_real_clips_of_grid_are_read_out_of_their_archives(server, load, real_media):
    plan = choosing.recipe("grid")
    content = (real_media / "clips" / "bbaf2n.mpg").read_bytes()
    for person in plan["women"] + plan["men"]:
        server.files[f"s{person}.zip"] = zipped([f"s{person}/bbaf2n.mpg"], content)
    clips = made(load("grid", rows=3))
    assert {clip["status"] for clip in clips.values()} == {"ok"}
    assert all(clip["duration_s"] == pytest.approx(3, abs=0.1) for clip in clips.values())


# --- splits, ranges and what is left out ---------------------------------------------------------


def test_small_corpora_have_both_sexes_in_every_split():
    sexes = {f"p{number}": "FM"[number % 3 == 0] for number in range(24)}
    splits = choosing.dealt(sexes)
    for split in ("train", "validation", "test"):
        assert {sexes[name] for name in splits if splits[name] == split} == {"F", "M"}
    assert splits == choosing.dealt(dict(reversed(sexes.items())))


@pytest.mark.parametrize(
    ("row_range", "rows", "numbers"),
    [("", 0, range(1, 1441)), ("5", 0, [5]), ("11-20", 0, range(11, 21)), ("1431-", 5, None)],
)
def test_a_range_of_rows_counts_from_1(row_range, rows, numbers):
    settings = Settings.make(corpus="ravdess", mode="full", row_range=row_range, rows=rows)
    chosen = manifests.load(settings).rows
    everything = manifests.load(Settings.make(corpus="ravdess", mode="full")).rows
    expected = everything[1430::2] if numbers is None else [everything[n - 1] for n in numbers]
    assert list(chosen) == list(expected)


@pytest.mark.parametrize("wrong", ["0", "-5", "a-b", "1-2-3", "1 - 2", "٣"])
def test_a_range_that_is_none_is_named(wrong):
    with pytest.raises(ValueError, match="row_range=.*1001-2000"):
        Settings.make(row_range=wrong)


def test_a_range_behind_the_end_names_the_number_of_rows():
    with pytest.raises(ManifestError, match="only 96 rows"):
        manifests.load(Settings.make(corpus="ravdess", row_range="97-200"))


@pytest.mark.parametrize(
    ("line", "gone"),
    [
        ("clip,ravdess-01-01-01-01-01-01-02,asked", 1),
        ("speaker,ravdess-02,asked to be left out", 4),
        ("video,https://example.org/x.mp4,not in it", 0),
    ],
)
def test_what_is_excluded_is_left_out_at_load(tmp_path, load, line, gone):
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "exclusions.csv").write_text(f"kind,id,reason\n{line}\n")
    manifest = load("ravdess")
    assert len(manifest.rows) == 96 - gone
    assert len(manifest.left_out) == gone
    assert all(reason.startswith("asked") for _, reason in manifest.left_out)


def test_an_excluded_video_is_left_out_with_all_its_pieces(tmp_path, avspeech_csv, load):
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "exclusions.csv").write_text("kind,id,reason\nvideo,a0000000001,\n")
    manifest = load("avspeech", manifest=str(avspeech_csv), row_range="1-6")
    assert [row.locator for row in manifest.rows].count("a0000000001") == 0
    assert len(manifest.rows) == 4


@pytest.mark.parametrize(
    "content", ["", "id\nx", "kind,id,reason\nface,x,y", "kind,id,reason\n\xff"]
)
def test_a_list_of_exclusions_that_cannot_be_understood_stops_the_run(tmp_path, load, content):
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "exclusions.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(ManifestError, match="exclusions.csv"):
        load("ravdess")


def test_a_clip_is_cut_off_after_the_seconds_that_were_asked_for(avspeech_csv, load):
    row = load("avspeech", manifest=str(avspeech_csv), rows=1, clip_seconds=3).rows[0]
    assert row.end_s == pytest.approx(row.start_s + 3)


def test_where_a_corpus_lies_must_be_an_address(load):
    with pytest.raises(ManifestError, match="corpus_at='/data' should be an address"):
        load("ravdess", corpus_at="/data")


def test_splits_do_not_depend_on_who_is_left_out(tmp_path, load):
    before = {row.speaker_id: row.split for row in load("ravdess").rows}
    (tmp_path / "workspace").mkdir(exist_ok=True)
    listed = "kind,id,reason\nspeaker,ravdess-08,asked\n"
    (tmp_path / "workspace" / "exclusions.csv").write_text(listed)
    after = {row.speaker_id: row.split for row in load("ravdess").rows}
    assert after == {name: split for name, split in before.items() if name != "ravdess-08"}


def test_a_private_address_of_a_corpus_is_refused_unless_allowed(load):
    with pytest.raises(ManifestError, match="allow_private_addresses"):
        load("ravdess", allow_private_addresses=False)


def test_a_manifest_from_an_address_may_not_name_files_here(server, load, tmp_path):
    columns = "clip_id,corpus,source,locator,start_s,end_s,face_x,face_y,speaker_id,split"
    row = "a,mine,file,/etc/passwd,,,,,anna,test"
    server.files["m.csv"] = f"{columns}\n{row}\n".encode()
    server.kinds["m.csv"] = "text/csv"
    address = server.url("m.csv")
    assert load("manifest", manifest=address).rows[0].locator == "/etc/passwd", "allowed by hand"
    with pytest.raises(ManifestError, match="m.csv.*own network, which is refused"):
        new = str(tmp_path / "new")
        load("manifest", manifest=address, allow_private_addresses=False, workspace=new)
    with pytest.raises(ManifestError, match="line 2, column source: 'file' is refused"):
        load("manifest", manifest=address, allow_private_addresses=False)  # kept from before


# --- data_manifest/ ------------------------------------------------------------------------------

CORPORA = ["archipelago", "my_videos", "crema_d", "ravdess", "grid", "avspeech"]


@pytest.mark.parametrize("corpus", CORPORA)
def test_each_corpus_has_a_recipe_and_a_data_card(corpus):
    assert choosing.recipe(corpus)
    card = (ROOT / "data_manifest" / f"{corpus}.md").read_text()
    assert card.startswith("# Data card")
    assert "| Licence |" in card


@pytest.mark.parametrize("corpus", CORPORA[1:])
def test_the_card_of_real_people_says_what_one_must_know(corpus):
    card = (ROOT / "data_manifest" / f"{corpus}.md").read_text()
    for heading in ("## Consent", "## Who is in it", "## Known gaps", "## How to cite"):
        assert heading in card


def test_the_published_list_of_exclusions_is_in_order():
    found = exclusions.read()
    assert ("clip", "1076_MTI_NEU_XX") in found


def test_deleting_everything_deletes_the_lists_as_well(crema_d, load, tmp_path):
    from helpers.tables import Workspace

    load("crema_d")
    workspace = Workspace(tmp_path / "workspace", Settings.make())
    assert str(tmp_path / "workspace" / "lists") in workspace.delete_everything()
    assert not (tmp_path / "workspace" / "lists").exists()
