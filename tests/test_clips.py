"""Clips of talking islanders: what is in them, and what is broken on purpose."""

import hashlib

import numpy as np
import pytest
from effort import effort

from helpers import media
from helpers.archipelago import clips
from helpers.archipelago.islanders import islander


@pytest.fixture(scope="module")
def clip():
    return clips.render("12/0")


def test_a_clip_is_a_video_with_sound(clip):
    found = media.probe(clip)
    assert (found.width, found.height) == (480, 360)
    assert found.rate == pytest.approx(25)
    assert 6 <= found.duration_s <= 8
    assert found.has_audio
    assert found.video_codec == "h264"


def test_the_same_clip_again(clip):
    again = clips.render("12/0")
    assert hashlib.sha256(again).digest() == hashlib.sha256(clip).digest()
    assert clips.render("12/1") != clip


def test_the_sound_is_the_islanders_voice(clip):
    from helpers.archipelago import voices

    spoken = voices.speak(islander(12), 0, clips.CLIP_SECONDS)
    coded = media.read_audio(clip)
    length = min(len(spoken), len(coded))
    alike = np.fft.irfft(np.fft.rfft(spoken[:length]) * np.conj(np.fft.rfft(coded[:length])))
    scale = np.linalg.norm(spoken[:length]) * np.linalg.norm(coded[:length])
    assert alike.max() / scale > 0.9


def test_the_picture_moves(clip):
    frames = [picture for _, picture in media.read_frames(clip, [0.2, 1.2, 2.4, 3.6])]
    assert len(frames) == 4
    for one, other in zip(frames, frames[1:], strict=False):
        assert np.abs(one.astype(int) - other).mean() > 0.3


def test_the_mouth_follows_the_sound():
    silence = np.zeros(8000, np.float32)
    tone = 0.3 * np.sin(np.arange(8000) * 0.2).astype(np.float32)
    openings = clips._openings(np.concatenate([silence, tone, silence]), 37)
    assert openings[14:24].mean() > openings[:10].mean() + 0.4
    assert openings.min() >= 0
    assert openings.max() <= 1


@pytest.mark.parametrize(("fault", "has_audio"), [("no_sound", False), ("silent", True)])
def test_faults_of_sound(fault, has_audio):
    video = clips.render(f"12/0/{fault}")
    assert media.probe(video).has_audio is has_audio
    if has_audio:
        assert np.abs(media.read_audio(video)).max() < 1e-3


def test_no_face_is_a_room_that_does_not_move():
    video = clips.render("12/0/no_face")
    one, other = (picture for _, picture in media.read_frames(video, [0.5, 4.0]))
    assert np.abs(one.astype(int) - other).mean() < 1
    assert np.abs(media.read_audio(video)).max() > 0.01


def test_a_truncated_clip_cannot_be_read_to_its_end(clip):
    video = clips.render("12/0/truncated")
    assert len(video) < len(clip)
    try:
        frames = media.read_frames(video, [6.0])
    except media.MediaError:
        frames = []
    assert not frames


def test_a_clip_can_be_gone():
    with pytest.raises(FileNotFoundError, match="12/0/gone"):
        clips.render("12/0/gone")


@pytest.mark.parametrize("locator", ["", "12", "12/x", "-1/0", "12/0/late", "12/0/gone/1", "../1"])
def test_wrong_locators_are_refused(locator):
    with pytest.raises(ValueError, match="not valid"):
        clips.render(locator)


def test_face_position_is_where_the_face_is():
    for number in range(20):
        x, y = clips.face_position(f"{number}/0")
        staging = clips.stage(islander(number), 0)
        assert 0.1 < x < 0.9
        assert 0.3 < y < 0.9
        if staging.bystander is not None:
            other = (staging.bystander_left + staging.bystander_size / 2) / clips.CLIP_COLUMNS
            assert abs(x - other) > 0.3


def test_bystanders_are_in_every_fifth_clip_or_so():
    count = sum(clips.stage(islander(number), 0).bystander is not None for number in range(500))
    assert 60 < count < 140


def test_a_still_is_a_frame():
    frame = clips.still(islander(7), 2)
    assert frame.shape == (360, 480, 3)
    assert frame.dtype == np.uint8
    assert np.array_equal(frame, clips.still(islander(7), 2))


def test_a_clip_takes_little_time():
    assert effort(lambda: clips.render("40/0")) < 25, "expected about 7"


def test_gallery(tmp_path):
    from helpers.archipelago.gallery import gallery

    files = gallery([1, 2], tmp_path / "new")
    assert [file.name for file in files] == [
        "portraits.png",
        "islander-1.wav",
        "islander-1.mp4",
        "islander-2.wav",
        "islander-2.mp4",
        "latents.csv",
    ]
    assert all(file.stat().st_size > 100 for file in files)
    with pytest.raises(ValueError, match="one islander"):
        gallery([], tmp_path)
