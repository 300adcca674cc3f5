"""Manifests: refused whole when something is wrong, with line and column; speakers in one split."""

from __future__ import annotations

import collections
import csv
import json
import os
from pathlib import Path

import pytest
from conftest import ROOT

from helpers import download, manifests
from helpers.archipelago.islanders import islander
from helpers.corpora import rows
from helpers.manifests import Manifest, ManifestError, Row
from helpers.settings import Settings

GOOD = {
    "clip_id": "anna-1",
    "corpus": "mine",
    "source": "file",
    "locator": "anna.mp4",
    "start_s": "1.5",
    "end_s": "7.5",
    "face_x": "0.4",
    "face_y": "0.5",
    "speaker_id": "anna",
    "split": "train",
}


@pytest.fixture
def write(tmp_path):
    """Writes a manifest of a good row and of rows that differ from it; returns its path."""

    def written(*others: dict, columns=tuple(GOOD)):
        path = tmp_path / "manifest.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerow(GOOD)
            for number, other in enumerate(others, 2):
                writer.writerow({**GOOD, "clip_id": f"anna-{number}", **other})
        return path

    return written


# --- reading and writing -------------------------------------------------------------------------


def test_a_good_manifest_becomes_rows_with_numbers(write, tmp_path):
    row = manifests.read_csv(write()).rows[0]
    assert (row.start_s, row.end_s, row.face_x) == (1.5, 7.5, 0.4)
    assert row.locator == str(tmp_path / "anna.mp4"), "a relative path starts at the manifest"
    assert (row.sex, row.age, row.group, row.language) == ("", None, "", "")


def test_empty_places_times_and_traits_are_allowed(write):
    empty = {"face_x": "", "face_y": "", "start_s": "", "end_s": "", "sex": "f", "age": "31"}
    row = manifests.read_csv(write(empty, columns=(*GOOD, "sex", "age"))).rows[1]
    assert (row.start_s, row.end_s, row.face_x, row.face_y) == (0.0, None, None, None)
    assert (row.sex, row.age) == ("F", 31.0)


def test_what_is_written_is_read_back(tmp_path):
    manifest = manifests.load(Settings.make(rows=30))
    manifests.write_csv(manifest, tmp_path / "out.csv")
    assert manifests.read_csv(tmp_path / "out.csv") == manifest
    assert manifests.read_csv(tmp_path / "out.csv").fingerprint == manifest.fingerprint


def test_a_file_saved_by_a_spreadsheet_is_read(write):
    path = write({})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\r\n", b"\n") + b"\n\n")
    assert len(manifests.read_csv(path).rows) == 2


# --- refusing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", rows.REQUIRED)
def test_a_missing_column_is_named(write, column):
    path = write(columns=[name for name in GOOD if name != column])
    with pytest.raises(
        ManifestError, match=f"manifest.csv, line 1: the column {column} is missing"
    ):
        manifests.read_csv(path)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("clip_id", "anna-1", "there already in line 2"),
        ("clip_id", "", "1 to 100"),
        ("clip_id", "../../etc/passwd", "1 to 100"),
        ("clip_id", "anna..1", "'..'"),
        ("clip_id", ".hidden", "begin with"),
        ("clip_id", "-rf", "begin with"),
        ("clip_id", "a" * 101, "1 to 100"),
        ("clip_id", "änna", "1 to 100"),
        ("clip_id", "anna 1", "1 to 100"),
        ("speaker_id", "a/b", "1 to 100"),
        ("start_s", "NaN", "not a time"),
        ("end_s", "nan", "not a time"),
        ("end_s", "inf", "not a time"),
        ("start_s", "-1", "not a time"),
        ("start_s", "0:10", "not a time"),
        ("end_s", "1.5", "ends at 1.5 s, not after its start at 1.5 s"),
        ("end_s", "0.5", "ends at 0.5 s"),
        ("face_x", "1.2", "from 0 to 1"),
        ("face_y", "-0.1", "from 0 to 1"),
        ("face_x", "nan", "from 0 to 1"),
        ("face_y", "", "both or neither"),
        ("source", "vimeo", ", ".join(rows.SOURCES)),
        ("split", "training", "train, validation, test"),
        ("split", "test", "speaker 'anna' is in 'train' in line 2, here in 'test'"),
        ("locator", "", "it is empty"),
        ("sex", "X", "F, M or empty"),
        ("age", "old", "from 0 to 130"),
    ],
)
def test_a_bad_value_is_refused_with_line_and_column(write, column, value, words):
    path = write({column: value}, columns=(*GOOD, *({column} - set(GOOD))))
    with pytest.raises(ManifestError) as caught:
        manifests.read_csv(path)
    assert f"manifest.csv, line 3, column {column}: " in str(caught.value)
    assert words in str(caught.value)


def test_an_identifier_with_a_line_break_is_refused():
    with pytest.raises(ManifestError, match="line 2, column clip_id"):
        manifests.validate([{**GOOD, "clip_id": "anna\n"}], "given")


@pytest.mark.parametrize(
    ("source", "locator", "good"),
    [
        ("https", "https://example.org/a.mp4", True),
        ("https", "http://127.0.0.1:8000/a.mp4", True),
        ("https", "http://example.org/a.mp4", False),
        ("https", "file:///etc/passwd", False),
        ("https", "http://127.0.0.1.example.org/a.mp4", False),
        ("https", "https://example.org/a b.mp4", False),
        ("youtube", "dQw4w9WgXcQ", True),
        ("youtube", "--exec=rm -rf", False),
        ("archipelago", "12/0", True),
        ("archipelago", "12/0/no_face", True),
        ("archipelago", "12/0/haunted", False),
        ("archipelago", "12", False),
        ("file", "a\x00b.mp4", False),
    ],
)
def test_a_locator_suits_its_source(source, locator, good):
    row = {**GOOD, "source": source, "locator": locator}
    if good:
        assert manifests.validate([row], "given")[0].locator == locator
    else:
        with pytest.raises(ManifestError, match="line 2, column locator"):
            manifests.validate([row], "given")


@pytest.mark.parametrize(("locator", "split"), [("1000000/0", "train"), ("999999/0", "test")])
def test_test_islanders_are_for_testing_only(locator, split):
    row = {**GOOD, "source": "archipelago", "locator": locator, "split": split}
    with pytest.raises(ManifestError, match="column split: islanders from 1,000,000 on"):
        manifests.validate([row], "given")


@pytest.mark.parametrize("locator", ["12/1", "012/0/no_face"])
def test_an_islander_has_one_split_under_any_name(locator):
    one = {**GOOD, "source": "archipelago", "locator": "12/0"}
    other = {**one, "clip_id": "ben-1", "speaker_id": "ben", "locator": locator}
    assert len(manifests.validate([one, other], "given")) == 2
    with pytest.raises(ManifestError) as caught:
        manifests.validate([one, {**other, "split": "validation"}], "given")
    assert str(caught.value) == (
        "given, line 3, column split: islander 12 is in 'train' as speaker 'anna' in line 2, "
        "here in 'validation'; a person has one split."
    )


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({}, False),
        ({"start_s": "7", "end_s": "12"}, False),
        ({"start_s": "", "end_s": ""}, False),
        ({"start_s": "", "end_s": "", "locator": "ben.mp4"}, True),
        ({"source": "https", "locator": "https://example.org/anna.mp4"}, True),
        ({"start_s": "7.5", "end_s": "12"}, True),
        ({"start_s": "0", "end_s": "1.5"}, True),
        ({"start_s": "8", "end_s": ""}, True),
        ({"split": "train"}, True),
    ],
)
def test_one_piece_of_a_source_has_one_split_under_any_name(write, changes, good):
    path = write({"speaker_id": "ben", "split": "test", **changes})
    if good:
        assert len(manifests.read_csv(path).rows) == 2
    else:
        with pytest.raises(ManifestError, match=r"line 3, column split: .*'anna' in line 2"):
            manifests.read_csv(path)


def test_lines_are_counted_as_an_editor_counts_them(tmp_path, write):
    path = write({}, {"split": "tset"})
    path.write_text(path.read_text().replace("anna.mp4", '"an\nna.mp4"', 1))
    with pytest.raises(ManifestError) as caught:
        manifests.read_csv(path)
    assert "line 2, column locator" in str(caught.value)
    assert "line 5, column split" in str(caught.value)


def test_only_the_first_problems_are_shown(write):
    with pytest.raises(ManifestError, match="and 15 more") as caught:
        manifests.read_csv(write(*[{"face_x": "2"}] * 20))
    assert len(str(caught.value).splitlines()) == 6


def test_a_row_with_too_few_values_is_named(write):
    path = write({})
    path.write_text(path.read_text() + "anna-9,mine,file\n")
    with pytest.raises(ManifestError, match="line 4: 3 values for 10 columns"):
        manifests.read_csv(path)


def test_a_misspelt_optional_column_is_named(write):
    with pytest.raises(ManifestError, match="column langage: did you mean language"):
        manifests.read_csv(write(columns=(*GOOD, "langage")))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'clip_id,"corpus\n', b"\n\n"])
def test_what_is_no_csv_is_refused_plainly(tmp_path, content):
    path = tmp_path / "manifest.csv"
    path.write_bytes(content)
    with pytest.raises(ManifestError, match="manifest.csv"):
        manifests.read_csv(path)


def test_another_separator_or_encoding_is_named_with_its_line(tmp_path):
    path = tmp_path / "manifest.csv"
    path.write_text(";".join(GOOD) + "\n")
    with pytest.raises(ManifestError, match="line 1: the columns are separated by ';'"):
        manifests.read_csv(path)
    path.write_bytes((",".join(GOOD) + "\nanna\nm\xe4nna\n").encode("latin-1"))
    with pytest.raises(ManifestError, match="line 3: it is not UTF-8"):
        manifests.read_csv(path)


def test_a_manifest_without_rows_is_refused(tmp_path):
    path = tmp_path / "manifest.csv"
    path.write_text(",".join(GOOD) + "\n")
    with pytest.raises(ManifestError, match="no rows"):
        manifests.read_csv(path)


def test_a_manifest_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ManifestError, match="There is no manifest .*nowhere.csv"):
        manifests.load(Settings.make(corpus="manifest", manifest=str(tmp_path / "nowhere.csv")))


# --- splits and selection ------------------------------------------------------------------------


def test_the_split_of_a_speaker_is_always_the_same_and_about_80_10_10():
    splits = [manifests.split_of(f"speaker-{number}") for number in range(5000)]
    assert splits == [manifests.split_of(f"speaker-{number}") for number in range(5000)]
    share = collections.Counter(splits)
    assert share["train"] / 5000 == pytest.approx(0.8, abs=0.02)
    assert share["validation"] / 5000 == pytest.approx(0.1, abs=0.015)
    assert share["test"] / 5000 == pytest.approx(0.1, abs=0.015)


def test_rows_are_selected_by_value():
    manifest = manifests.load(Settings.make())
    women = manifest.select(sex="F", split="test")
    assert {(row.sex, row.split) for row in women.rows} == {("F", "test")}
    with pytest.raises(ValueError, match="no column 'gender'"):
        manifest.select(gender="F")


# --- Archipelago ---------------------------------------------------------------------------------


def test_the_quick_corpus_has_300_rows_of_which_8_are_broken():
    manifest = manifests.load(Settings.make())
    assert len(manifest.rows) == 300
    assert len(manifest.speakers("train")) == 100
    assert len(manifest.speakers("validation")) == 20
    assert len(manifest.speakers("test")) == 72
    faults = [row.locator.split("/")[2] for row in manifest.rows if row.locator.count("/") == 2]
    assert len(faults) == 8
    assert set(faults) == set(rows.FAULTS)


def test_a_broken_clip_belongs_to_someone_who_has_good_clips_too():
    manifest = manifests.load(Settings.make())
    for row in manifest.rows:
        if row.locator.count("/") == 2:
            theirs = manifest.select(speaker_id=row.speaker_id).rows
            assert sum(other.locator.count("/") == 1 for other in theirs) == 2


def test_rows_of_the_archipelago_tell_the_truth_about_their_islander():
    for row in manifests.load(Settings.make()).rows[::37]:
        person = islander(int(row.locator.split("/")[0]))
        assert row.speaker_id == f"islander-{person.number}"
        assert (row.sex, row.age, row.split) == (person.sex, person.age, person.split)
        assert 0 <= row.face_x <= 1
        assert 0 <= row.face_y <= 1


def test_the_faults_are_those_that_the_archipelago_can_make():
    from helpers.archipelago import clips

    assert set(rows.FAULTS) == set(clips.FAULTS)


def test_fewer_rows_still_come_from_every_split():
    manifest = manifests.load(Settings.make(rows=24))
    assert len(manifest.rows) == 24
    assert all(manifest.speakers(split) for split in rows.SPLITS)
    assert len(manifests.load(Settings.make(rows=1000)).rows) == 300


def test_the_manifest_is_the_same_every_time():
    assert manifests.load(Settings.make()) == manifests.load(Settings.make(seed=5))
    assert manifests.load(Settings.make(rows=9)).fingerprint != Manifest(()).fingerprint


def of_folder(folder) -> Manifest:
    return manifests.load(Settings.make(corpus="my_videos", videos=str(folder)))


# --- a folder of videos --------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """A folder of videos as people have them."""
    videos = tmp_path / "videos"
    (videos / "anna" / "2024").mkdir(parents=True)
    for name in (
        "anna/monday.mp4",
        "anna/2024/tuesday.webm",
        "ben.mov",
        "Zoë & I (final).mp4",
        "empty.mp4",
        "notes.txt",
        ".DS_Store",
    ):
        (videos / name).write_bytes(b"" if "empty" in name else name.encode())
    return videos


def test_every_file_is_a_row_and_a_folder_is_a_speaker(folder):
    manifest = of_folder(folder)
    assert len(manifest.rows) == 6
    assert [row.speaker_id for row in manifest.rows if "anna" in row.locator] == ["anna", "anna"]
    assert "ben" in manifest.speakers()
    assert not any("DS_Store" in row.locator for row in manifest.rows)


def test_odd_file_names_become_safe_identifiers(folder):
    odd = [row for row in of_folder(folder).rows if "Zo" in row.locator]
    assert odd[0].clip_id.startswith("Zo-I-final-")
    assert odd[0].speaker_id.startswith("Zo-I-final-")


def test_names_that_clash_stay_apart(tmp_path):
    (tmp_path / "ann").mkdir()
    for name in ("ann.mp4", "ann.webm", "ann/ann.mp4", "a b.mp4", "a-b.mp4", "a_b.mp4"):
        (tmp_path / name).write_bytes(name.encode())
    manifest = of_folder(tmp_path)
    assert len({row.clip_id for row in manifest.rows}) == 6
    assert len(manifest.speakers()) == 6


def test_a_file_name_that_is_not_utf_8_will_do(folder):
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.mp4")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system has no such names")
    manifest = of_folder(folder)
    row = next(row for row in manifest.rows if row.clip_id.startswith("caf-"))
    assert download.download(row)["status"] == "rejected"
    assert manifest.fingerprint
    with pytest.raises(ManifestError, match="line 2, column locator"):
        manifests.validate([row], "from elsewhere")


def test_a_few_speakers_are_for_testing_and_many_are_dealt_out(folder, tmp_path):
    assert {row.split for row in of_folder(folder).rows} == {"test"}
    many = tmp_path / "many"
    many.mkdir()
    for number in range(120):
        (many / f"person{number}.mp4").write_bytes(b"x")
    splits = collections.Counter(row.split for row in of_folder(many).rows)
    assert set(splits) == set(rows.SPLITS)
    assert splits["train"] > 80


def test_a_replaced_video_makes_new_tables_and_a_moved_folder_does_not(folder):
    before = of_folder(folder).fingerprint
    moved = folder.rename(folder.with_name("elsewhere"))
    assert of_folder(moved).fingerprint == before
    (moved / "ben.mov").write_bytes(b"BEN.mov")
    assert of_folder(moved).fingerprint != before


def test_a_long_video_that_ends_differently_makes_new_tables(folder):
    (folder / "long.mp4").write_bytes(b"\0" * 300_000 + b"one")
    before = of_folder(folder).fingerprint
    (folder / "long.mp4").write_bytes(b"\0" * 300_000 + b"two")
    assert of_folder(folder).fingerprint != before


def test_a_folder_that_is_missing_or_empty_is_named(tmp_path):
    with pytest.raises(ManifestError, match="There is no folder .*nowhere"):
        manifests.load(Settings.make(corpus="my_videos", videos=str(tmp_path / "nowhere")))
    with pytest.raises(ManifestError, match="There are no files in"):
        manifests.load(Settings.make(corpus="my_videos", videos=str(tmp_path)))


def test_the_real_clips_become_seven_speakers(real_media):
    videos = str(real_media / "clips")
    manifest = manifests.load(Settings.make(corpus="my_videos", videos=videos))
    assert len(manifest.rows) == len(manifest.speakers()) == 7


# --- data_manifest/ ------------------------------------------------------------------------------


def test_the_schema_says_what_the_code_checks():
    fields = json.loads((ROOT / "data_manifest/schema.json").read_text())["fields"]
    assert [field["name"] for field in fields] == list(rows.COLUMNS)
    by_name = {field["name"]: field.get("constraints", {}) for field in fields}
    assert by_name["source"]["enum"] == list(rows.SOURCES)
    assert by_name["split"]["enum"] == list(rows.SPLITS)


def test_every_column_is_described():
    for name in rows.COLUMNS:
        assert f"    {name}: " in Row.__doc__
