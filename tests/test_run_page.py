"""The page of a run: pictures under their lesson, chance beside each number, nothing private."""

from __future__ import annotations

import io
import re

import normalise_notebooks
import pytest
from PIL import Image

from helpers.commands import run_page
from helpers.commands.run_page import Picture

SUMMARY = {
    "run": "2026-01-02_03-04-05",
    "settings": {
        "workspace": "/home/somebody/secret",
        "videos": "/home/somebody/secret/films",
        "mode": "quick",
    },
    "seconds": 120.0,
    "notebooks": [
        {"name": "06_demo", "status": "ok", "seconds": 60.0, "peak_rss_mb": 1234},
        {"name": "07_evaluation", "status": "not run", "seconds": 0.0, "peak_rss_mb": 0},
    ],
    "figures": {
        "released_recall_10": 0.432,
        "released_recall_10_interval": [0.402, 0.463],
        "released_chance_10": 0.01,
    },
    "metrics": {"06_demo": {"weights": "released", "times": {"first": 1.5}}},
}
PICTURES = [
    Picture("06_demo", "pictures/06_demo-look-face.png", "A face", (600, 300)),
    Picture("06_demo", "pictures/06_demo-look-several.png", "Several <faces>", (1200, 500)),
]


def test_the_page_stands_alone_and_needs_only_the_pictures_beside_it() -> None:
    page = run_page.page(SUMMARY, PICTURES)
    assert page.startswith("<!doctype html>") and 'lang="en"' in page
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert addresses and not [one for one in addresses if "//" in one or one.startswith("/")]
    assert normalise_notebooks.NOTICE.split("** ")[1] in page


def test_the_best_picture_stands_on_top_and_every_picture_has_words() -> None:
    page = run_page.page(SUMMARY, PICTURES)
    images = re.findall(r"<img [^>]+>", page)
    assert "look-several" in images[0] and 'width="1200" height="500"' in images[0]
    assert all(re.search('alt="[^"]+"', image) for image in images)
    assert "Several &lt;faces&gt;" in page
    # Narrow ones share a row, wide ones take it whole.
    assert re.search(r'<figure class=""><a href="pictures/06_demo-look-face.png">', page)


def test_the_place_of_a_picture_is_kept_free_until_it_is_there() -> None:
    page = run_page.page(SUMMARY, PICTURES)
    rule = re.search(r"figure img \{(.+?)\}", page, re.DOTALL)[1]
    assert not re.search(r"(?<![-\w])width:", rule), "it would hide the width of the picture"
    assert "height: auto" in rule and "object-fit: contain" in rule
    assert all("width=" in image for image in re.findall(r"<img [^>]+>", page))


def test_a_result_has_its_chance_and_interval_beside_it() -> None:
    card = re.search(r"<li><b>43.2%</b>(.+?)</li>", run_page.page(SUMMARY, PICTURES)).group(1)
    assert "By chance 1.0%" in card and "40.2% to 46.3%" in card
    assert '<ul class="cards">' not in run_page.page({**SUMMARY, "figures": {}}, [])


def test_links_lead_only_to_what_is_there() -> None:
    page = run_page.page(SUMMARY, PICTURES)
    assert 'href="06_demo.html"' in page and 'href="07_evaluation.html"' not in page
    for target in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{target}"' in page


def test_settings_are_shown_but_not_where_tables_and_videos_lie() -> None:
    page = run_page.page(SUMMARY, [])
    assert "mode=&#x27;quick&#x27;" in page and "secret" not in page


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_sizes_are_read_from_the_files(kind: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (70, 30)).save(file, kind)
    assert run_page.picture_size(file.getvalue()) == (70, 30)
    assert run_page.picture_size(b"something else") == (0, 0)
    assert run_page.picture_size(file.getvalue()[:8]) == (0, 0)
