"""The page as visitors meet it: with a file, a microphone, sliders, votes, and mistakes."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect

pytestmark = pytest.mark.slow


def answered(page) -> str:
    """Waits for a face or a refusal and returns what it says."""
    page.locator("#answer .sure, #answer .refusal").first.wait_for()
    return page.locator("#answer").inner_text()


def upload(page, file: Path) -> str:
    page.evaluate("document.querySelector('#answer .answer').replaceChildren()")
    page.locator("#upload input[type=file]").set_input_files(file)
    return answered(page)


def assert_nothing_kept(server) -> None:
    """Uploads are deleted seconds after their answer."""
    until = time.monotonic() + 120
    while left := [path for path in server.folder.rglob("*") if path.is_file()]:
        assert time.monotonic() < until, f"Uploads are still there: {left}"
        time.sleep(0.1)


def look(page, name: str) -> None:
    """Keeps a picture of the page where somebody wants to look at it."""
    if os.environ.get("DEMO_PICTURES"):
        page.screenshot(path=f"{os.environ['DEMO_PICTURES']}/{name}.png", full_page=True)


@pytest.mark.parametrize("speaker", ["islander", "person"])
def test_a_voice_becomes_a_marked_face_with_all_that_belongs_to_it(
    visit, server, files, speaker, request
):
    page = visit()
    if speaker == "islander":
        file = files / "islander.wav"
    else:
        file = min((request.getfixturevalue("real_media") / "voices").glob("*.flac"))
    said = upload(page, file)
    for words in ("How sure?", "From the first 6 s", "From the first 3 s", "How the face looks"):
        assert words in said
    assert re.search(r"(male|female)", said) and "off by" in said and "50%" in said
    assert "Nearest faces of the training" in said and "What it heard" in said
    expect(page.locator("#answer img")).to_have_count(7)
    assert "generated" in page.locator("#answer img").first.get_attribute("alt").lower()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the picture").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\xff\xd8")
    assert_nothing_kept(server)
    look(page, "your-voice")


def test_an_islander_speaks_and_is_shown_beside_the_face(visit):
    page = visit()
    page.get_by_role("button", name="Older man").click()
    assert "The islander who spoke" in answered(page)
    look(page, "sample")


def test_the_microphone(visit, server):
    page = visit()
    page.locator("#microphone").get_by_role("button", name="Record").click()
    expect(page.locator("#microphone .duration")).to_have_text("0:04")
    page.locator("#microphone").get_by_role("button", name="Stop").click()
    # A busy machine may stop later, or miss some of the sound.
    assert re.search(r"Face from \d+(\.\d)? s of voice", answered(page))
    assert_nothing_kept(server)
    # The field is empty again, so that the next one can speak.
    page.locator("#microphone").get_by_role("button", name="Record").wait_for()


MISTAKES = {
    "picture.png": ("a picture, not a recording", "Choose a sound file"),
    "text.txt": ("not audio or video", "Choose a sound file"),
    "empty.wav": ("empty", "Choose another file"),
    "silent.wav": ("only silence", "microphone"),
    "short.wav": ("0.2 s of sound", "Speak for about six seconds"),
    "noise.wav": ("noise", "one person who speaks"),
    "music.wav": ("music", "one person who speaks"),
    "thirty-minutes.flac": ("30 minutes long; at most 2 minutes", "Cut out ten seconds"),
    "large.wav": ("200 MB", "Cut out ten seconds"),
    "clipped.wav": ("overdriven", "record again"),
    "eight-channels.wav": ("How sure?", "Nearest faces"),
}


def test_every_mistake_gets_a_sentence_and_the_next_visitor_is_served(visit, server, files):
    page = visit()
    for name, (wrong, advice) in MISTAKES.items():
        said = upload(page, files / name)
        assert wrong in said and advice in said, f"{name}: {said}"
        assert "Error" not in said and "Traceback" not in said
    look(page, "clipped")
    page.get_by_role("button", name="Young man").click()
    page.locator("#answer").get_by_text("The islander who spoke").wait_for()
    # A refusal that the server never sees takes the place of all that was there.
    page.locator("#upload input[type=file]").set_input_files(files / "large.wav")
    expect(page.locator("#answer .refusal")).to_contain_text("200 MB")
    expect(page.locator("#answer img")).to_have_count(0)
    assert_nothing_kept(server)
    assert "Traceback" not in server.said()


def test_the_face_follows_the_sliders(visit):
    page = visit()
    page.get_by_role("tab", name="Voice workshop").click()
    face = page.locator("#workshop-face")
    face.locator("img").wait_for()
    expect(face).to_contain_text("Looks male")
    for name, key, times in (("pitch", "ArrowRight", 19), ("tract", "ArrowLeft", 18)):
        slider = page.locator(f"#slider-{name} input[type=range]")
        slider.focus()
        for _ in range(times):
            slider.press(key)
    expect(face, "250 Hz from a vocal tract of 14 cm").to_contain_text("Looks female")
    look(page, "workshop")


def test_a_number_out_of_range_gets_a_sentence(visit, server):
    page = visit()
    page.get_by_role("tab", name="Voice workshop").click()
    page.locator("#workshop-face img").wait_for()
    for number in ("5000", ""):
        page.locator("#slider-pitch input[type=number]").fill(number)
        expect(page.locator("#workshop-face")).to_have_text("Pitch (Hz) goes from 75 to 300.")
        page.get_by_role("button", name="Back to the middle").click()
        expect(page.locator("#workshop-face")).to_contain_text("Looks male")
    page.get_by_role("tab", name="Guess who").click()
    page.locator("#new-round").click()
    page.locator("#face-D img").wait_for()
    for number in ("-3", "99999"):
        page.get_by_label("Votes for A").fill(number)
        page.locator("#show").click()
        expect(page.locator("#said")).to_have_text("A number of votes goes from 0 to 9,999.")
        page.locator("#new-round").click()
        expect(page.locator("#said")).to_have_text("")
    expect(page.locator(".toast-body")).to_have_count(0)
    assert "Traceback" not in server.said()


def test_a_class_votes_and_the_score_is_kept(visit):
    page = visit()
    page.get_by_role("tab", name="Guess who").click()
    page.locator("#new-round").click()
    page.locator("#face-D img").wait_for()
    page.locator("#show").click()
    page.get_by_text("Nobody has voted yet").wait_for()
    page.get_by_role("button", name="Vote for B").click()
    page.get_by_role("button", name="Vote for B").click()
    expect(page.get_by_label("Votes for B")).to_have_value("2")
    page.get_by_label("Votes for C").fill("1")
    page.locator("#show").click()
    page.locator("#said .result").wait_for()
    expect(page.locator("#face-B")).to_contain_text("B · 2 votes")
    expect(page.locator("#score")).to_contain_text("of 1")
    expect(page.locator("#score")).to_contain_text("25%")
    look(page, "guess-who")
    page.locator("#new-round").click()
    expect(page.locator("#face-A")).not_to_contain_text("votes")
    expect(page.locator("#score")).to_contain_text("of 1")
    visit.reload(page)
    page.get_by_role("tab", name="Guess who").click()
    expect(page.locator("#score")).to_contain_text("of 1")


def test_where_the_browser_keeps_nothing_the_game_goes_on(visit):
    """As in a frame of another site, when such frames may keep nothing: Colab's, for example."""
    nothing = (
        "Object.defineProperty(window, '{}Storage', {{get() {{ throw new DOMException(); }}}});"
    )
    page = visit(before="".join(map(nothing.format, ("local", "session"))))
    page.get_by_role("tab", name="Guess who").click()
    page.locator("#new-round").click()
    page.locator("#face-D img").wait_for()
    page.get_by_role("button", name="Vote for B").click()
    page.locator("#show").click()
    page.locator("#said .result").wait_for()


def test_a_reload_in_the_middle_harms_nobody(visit):
    one, other = visit(), visit()
    other.get_by_role("tab", name="Guess who").click()
    other.locator("#new-round").click()
    other.locator("#face-D img").wait_for()
    one.get_by_role("button", name="Large man").click()
    visit.reload(one)
    one.get_by_role("button", name="Young woman").click()
    assert "The islander who spoke" in answered(one)
    other.get_by_role("button", name="Vote for A").click()
    other.locator("#show").click()
    other.locator("#said .result").wait_for()


def test_ten_visitors_at_once(visit):
    pages = [visit() for _ in range(10)]
    started = time.monotonic()
    for page in pages:
        page.get_by_role("button", name="Small woman").click(no_wait_after=True)
    for page in pages:
        assert "The islander who spoke" in answered(page)
    print(f"ten faces after {time.monotonic() - started:.1f} s")


def test_the_keyboard_alone_is_enough(visit):
    page = visit()
    assert _tab_to(page, "Older woman")
    page.keyboard.press("Enter")
    assert "The islander who spoke" in answered(page)
    page.get_by_role("tab", name="Your voice").focus()
    page.keyboard.press("Tab")
    assert _tab_to(page, "Guess who", back=True)
    page.keyboard.press("Enter")
    page.locator("#new-round").focus()
    page.keyboard.press("Enter")
    page.locator("#face-D img").wait_for()
    expect(page.get_by_role("button", name="Vote for A")).to_be_enabled()
    assert _tab_to(page, "Vote for A")
    page.keyboard.press("Space")
    assert _tab_to(page, "Show the answer")
    page.keyboard.press("Enter")
    page.locator("#said .result").wait_for()


def _tab_to(page, name: str, back: bool = False) -> bool:
    """Presses Tab until the control of that name has the focus."""
    for _ in range(60):
        if page.evaluate("document.activeElement.innerText.trim()") == name:
            return True
        page.keyboard.press("Shift+Tab" if back else "Tab")
    return False


@pytest.mark.parametrize("tab", ["Your voice", "Voice workshop", "Guess who"])
def test_on_a_phone_nothing_sticks_out(visit, tab):
    page = visit(360, 780)
    page.get_by_role("tab", name=tab).click()  # No tab hides in a menu.
    if tab == "Your voice":
        page.get_by_role("button", name="Young man").click()
        answered(page)
    elif tab == "Voice workshop":
        page.locator("#workshop-face img").wait_for()
    else:
        page.locator("#new-round").click()
        page.locator("#face-D img").wait_for()
    page.evaluate("document.fonts.ready")
    look(page, f"phone-{tab.split()[-1]}")
    wide = page.evaluate(
        "[...document.querySelectorAll('*')].filter(each => "
        "each.getBoundingClientRect().right > innerWidth + 1 && each.checkVisibility())"
        ".map(each => each.tagName + '.' + each.className).slice(-5)"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 361, wide


def test_on_a_phone_the_answer_comes_into_sight(visit):
    page = visit(390, 844)
    assert page.evaluate("scrollY") == 0
    page.get_by_role("button", name="Young man").click()
    answered(page)
    expect(page.locator("#answer img").first).to_be_in_viewport(ratio=0.9)
    assert page.locator("#answer").get_attribute("aria-live") == "polite"


def test_on_a_phone_the_face_of_the_workshop_stays_in_sight(visit):
    page = visit(390, 844)
    page.get_by_role("tab", name="Voice workshop").click()
    page.locator("#workshop-face img").wait_for()
    page.locator("#slider-age").evaluate("slider => slider.scrollIntoView({block: 'center'})")
    expect(page.locator("#slider-age")).to_be_in_viewport(ratio=1)
    expect(page.locator("#workshop-face img")).to_be_in_viewport(ratio=1)
    look(page, "phone-sliders")


def test_on_a_phone_the_buttons_line_up_below_captions_of_any_length(visit):
    page = visit(390, 844)
    page.get_by_role("tab", name="Guess who").click()
    page.locator("#new-round").click()
    page.locator("#face-D img").wait_for()
    page.get_by_role("button", name="Vote for A").click()
    page.locator("#show").click()
    page.locator("#said .result").wait_for()
    tops = [
        page.get_by_role("button", name=f"Vote for {letter}").bounding_box()["y"]
        for letter in "ABCD"
    ]
    assert tops[::2] == pytest.approx(tops[1::2], abs=1)


def test_the_notice_and_the_consent_are_on_the_page(visit):
    said = visit().locator("body").inner_text()
    assert "not a likeness of anyone" in said and "identification, surveillance" in said
    assert "somebody who said yes" in said and "is deleted" in said
