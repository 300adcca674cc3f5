"""The README's pictures come from a run of the embedded corpus, all of them or none."""

from __future__ import annotations

import json

import pytest
from conftest import ROOT

from helpers.__main__ import main
from helpers.commands import readme_pictures


def a_run(folder, **settings):
    """A run with every picture, each holding its own name."""
    (folder / "pictures").mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps({"settings": settings}))
    for name in readme_pictures.PICTURES:
        (folder / "pictures" / name).write_text(name)
    return folder


def test_pictures_are_taken_and_named(tmp_path, capsys):
    run, out = a_run(tmp_path / "run"), tmp_path / "out"
    assert main(["pictures", "--from", str(run), "--out", str(out)]) == 0
    found = {file.name: file.read_text() for file in out.iterdir()}
    assert found == {target: name for name, target in readme_pictures.PICTURES.items()}
    assert sorted(capsys.readouterr().out.split()) == sorted(str(out / name) for name in found)


def test_real_people_stay_out_of_the_readme(tmp_path, capsys):
    run, out = a_run(tmp_path / "run", corpus="my_videos"), tmp_path / "out"
    with pytest.raises(SystemExit):
        main(["pictures", "--from", str(run), "--out", str(out)])
    assert "my_videos" in capsys.readouterr().err
    assert not out.exists()


def test_a_run_that_lacks_one_gives_none(tmp_path):
    run, out = a_run(tmp_path / "run"), tmp_path / "out"
    lost = next(iter(readme_pictures.PICTURES))
    (run / "pictures" / lost).unlink()
    with pytest.raises(ValueError, match=lost):
        readme_pictures.take(run, out)
    with pytest.raises(ValueError, match="there is no run"):
        readme_pictures.take(tmp_path / "nowhere", out)
    assert not out.exists()


def test_the_readme_shows_each_of_them():
    text = (ROOT / "README.md").read_text()
    for name in readme_pictures.PICTURES.values():
        assert f"](notebooks/pictures/{name})" in text
        assert (readme_pictures.FOLDER / name).stat().st_size > 10_000
