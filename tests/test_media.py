"""Sound and pictures come back as they went in, whatever they were packed in."""

from __future__ import annotations

import io
import os
import random
import wave
from pathlib import Path

import av
import numpy as np
import pytest
import synthetic_media as made
from effort import effort

from helpers import media

REAL_CLIPS = sorted((Path(__file__).parents[1] / "../shared/real_media/clips").glob("*.mpg"))
os.environ["SVT_LOG"] = "0"


def click_time(sound: np.ndarray, rate: int = 16_000) -> float:
    return float(np.argmax(np.abs(sound)) / rate)


@pytest.fixture(scope="module")
def clip() -> bytes:
    frames = [made.numbered_picture(number) for number in range(75)]
    return media.write_video(frames, made.tone(3.0)[0])


def test_clip_is_described(clip):
    found = media.probe(clip)
    assert (found.width, found.height, found.rate) == (320, 240, 25.0)
    assert (found.sample_rate, found.channels, found.video_codec) == (16_000, 1, "h264")
    assert found.duration_s == pytest.approx(3.0, abs=0.05)
    assert media.stream_seconds(clip) == pytest.approx((3.0, 3.0), abs=0.07)
    assert clip.index(b"moov") < clip.index(b"mdat"), "the index belongs in front"


def test_frames_are_the_first_at_or_after_each_time(clip):
    wanted = [0.0, 0.5, 0.999, 1.0, 2.01, 2.96, 2.97]
    pictures = media.read_frames(clip, wanted)
    assert [made.number_in(picture) for _, picture in pictures] == [0, 13, 25, 25, 51, 74]
    assert [time_s for time_s, _ in pictures] == pytest.approx([0, 0.52, 1, 1, 2.04, 2.96])
    assert pictures[0][1].dtype == np.uint8
    assert pictures[0][1].shape == (240, 320, 3)


def test_far_frames_are_exact_after_a_seek():
    long = made.media_file(seconds=10.0, times=np.arange(250) / 25)
    numbers = [made.number_in(picture) for _, picture in media.read_frames(long, [7.0, 9.3])]
    assert numbers == [175, 233]
    assert click_time(media.read_audio(long, 0.5, 2.0)) == pytest.approx(0.5, abs=0.002)


def test_colours_survive(clip):
    picture = media.read_frames(clip, [1.0])[0][1].astype(int)
    assert np.abs(picture[150, 40] - (220, 30, 30)).max() < 12
    assert np.abs(picture[230, 200] - (30, 30, 220)).max() < 12


def test_sound_survives_to_the_sample(clip):
    sound = media.read_audio(clip)
    assert sound.dtype == np.float32
    assert click_time(sound) == pytest.approx(made.CLICK_S, abs=0.001)
    original = made.tone(3.0)[0]
    assert np.corrcoef(original[2_000:14_000], sound[2_000:14_000])[0, 1] > 0.999
    piece = media.read_audio(clip, start_s=0.75, seconds=0.5)
    assert len(piece) == 8_000
    assert click_time(piece) == pytest.approx(0.25, abs=0.001)


def test_whole_band_survives():
    noise = 0.1 * np.random.default_rng(0).standard_normal(48_000).astype(np.float32)
    back = media.read_audio(media.write_video([made.numbered_picture(0)] * 75, noise))[:48_000]
    power = [np.abs(np.fft.rfft(sound)[3 * 7_000 : 3 * 7_900]) ** 2 for sound in (noise, back)]
    assert abs(10 * np.log10(power[1].sum() / power[0].sum())) < 1.0


@pytest.mark.parametrize(
    ("rate", "channels"), [(8_000, 1), (44_100, 1), (48_000, 2), (48_000, 6), (48_000, 8)]
)
def test_any_rate_and_channels(rate, channels):
    file = made.media_file(sound=made.tone(2.0, rate, channels), sound_rate=rate)
    sound = media.read_audio(file)
    assert len(sound) == pytest.approx(32_000, abs=1_500)
    assert click_time(sound) == pytest.approx(made.CLICK_S, abs=0.002)
    hum = sound[4_000:12_000]
    assert np.sqrt(np.mean(hum**2)) == pytest.approx(0.1 / np.sqrt(2), rel=0.05)


@pytest.mark.parametrize("channels", [1, 2, 6, 8, 16])
def test_any_number_of_channels_is_averaged_to_the_bit(channels):
    samples = np.random.default_rng(channels).integers(-9_000, 9_000, (16_000, channels))
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(samples.astype("<i2").tobytes())
    expected = (samples.astype(np.float32) / 32_768).mean(axis=1)
    assert np.array_equal(media.read_audio(file.getvalue()), expected)


def test_a_video_with_eight_channels_becomes_a_clip():
    file = made.media_file(sound=made.tone(2.0, 48_000, 8), sound_rate=48_000)
    assert media.probe(file).channels == 8
    clip = media.read_audio(media.normalise(file))
    assert click_time(clip) == pytest.approx(made.CLICK_S, abs=0.002)


def test_of_channels_in_opposite_phase_the_loudest_is_heard():
    left = made.tone(2.0, 48_000)[0]
    for right, level in ((-left, 0.1), (-left / 2, 0.025), (0.5 * left, 0.075)):
        file = made.media_file(
            "wav", None, "pcm_f32le", sound=np.stack([left, right]), sound_rate=48_000
        )
        hum = media.read_audio(file)[4_000:12_000]
        assert np.sqrt(np.mean(hum**2)) == pytest.approx(level / np.sqrt(2), rel=0.05)


def test_stereo_is_averaged():
    left = made.tone(2.0, 48_000)[0]
    file = made.media_file(sound=np.stack([left, np.zeros_like(left)]), sound_rate=48_000)
    hum = media.read_audio(file)[4_000:12_000]
    assert np.sqrt(np.mean(hum**2)) == pytest.approx(0.05 / np.sqrt(2), rel=0.05)


@pytest.mark.parametrize(
    ("kind", "video", "audio", "rate"),
    [
        ("webm", "libvpx", "libopus", 48_000),
        ("webm", "libvpx-vp9", "libopus", 48_000),
        ("mp4", "libsvtav1", "aac", 48_000),
        ("matroska", "libx264", "libopus", 48_000),
        ("avi", "mpeg4", "mp2", 48_000),
        ("mpegts", "mpeg2video", "mp2", 48_000),
    ],
)
def test_any_container_and_codec(kind, video, audio, rate):
    if video not in av.codecs_available:
        pytest.skip(f"this PyAV has no {video} encoder")
    file = made.media_file(kind, video, audio, sound_rate=rate)
    times = [0.0, 0.52, 1.6]
    assert [made.number_in(p) for _, p in media.read_frames(file, times)] == [0, 13, 40]
    assert click_time(media.read_audio(file)) == pytest.approx(made.CLICK_S, abs=0.03)
    clip = media.normalise(file)
    assert media.probe(clip).video_codec == "h264"
    assert [made.number_in(p) for _, p in media.read_frames(clip, times)] == [0, 13, 40]


def test_recording_without_duration():
    """A browser's recorder writes WebM without saying how long it is."""
    file = bytearray(made.media_file("webm", "libvpx", "libopus", sound_rate=48_000))
    place = file.index(b"\x44\x89\x88")
    file[place : place + 11] = b"\xec\x89" + bytes(9)  # Void in the place of Duration.
    with av.open(io.BytesIO(bytes(file))) as container:
        assert not container.duration
    assert media.probe(bytes(file)).duration_s == pytest.approx(2.0, abs=0.1)


def test_variable_frame_rate():
    times = [0.0, 0.05, 0.4, 0.41, 0.9, 1.3, 1.31, 1.8]
    file = made.media_file(times=times)
    wanted = [0.0, 0.06, 0.405, 1.0, 1.305]
    pictures = media.read_frames(file, wanted)
    assert [made.number_in(picture) for _, picture in pictures] == [0, 2, 3, 5, 6]
    assert [time_s for time_s, _ in pictures] == pytest.approx([0, 0.4, 0.41, 1.3, 1.31])
    clip = media.normalise(file)
    shown = [made.number_in(p) for _, p in media.read_frames(clip, np.arange(0, 1.76, 0.04))]
    expected = [
        max(n for n, moment in enumerate(times) if moment <= 0.04 * tick + 0.02)
        for tick in range(45)
    ]
    assert shown[:45] == expected[: len(shown)]
    assert len(shown) >= 44


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_rotated_phone_video(quarter_turns):
    def lying(number: int, *_size: int) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(upright(number, 240, 320), quarter_turns))

    upright, made.numbered_picture = made.numbered_picture, lying
    try:
        size = (240, 320) if quarter_turns == 2 else (320, 240)
        file = made.turned(made.media_file(size=size), quarter_turns)
    finally:
        made.numbered_picture = upright
    found = media.probe(file)
    assert (found.width, found.height) == (240, 320)
    assert found.rotation == (4 - quarter_turns) * 90 % 360
    assert made.number_in(media.read_frames(file, [1.0])[0][1]) == 25
    clip = media.normalise(file)
    assert media.probe(clip).rotation == 0
    assert made.number_in(media.read_frames(clip, [1.0])[0][1]) == 25


def test_pixels_are_made_square():
    file = made.media_file(pixel_aspect=2)
    assert (media.probe(file).width, media.probe(file).height) == (640, 240)
    assert media.read_frames(file, [0.0])[0][1].shape == (240, 640, 3)


def test_large_video_is_shrunk_and_cut():
    file = made.media_file(size=(1280, 720), seconds=3.0)
    clip = media.normalise(file, 1.0, 2.6)
    found = media.probe(clip)
    assert (found.width, found.height) == (640, 360)
    assert media.stream_seconds(clip) == pytest.approx((1.6, 1.6), abs=0.07)
    assert made.number_in(media.read_frames(clip, [0.0])[0][1]) == 25
    assert click_time(media.read_audio(clip)[:8_000]) < 0.002


def test_long_video_is_cut_off():
    file = made.media_file(times=[0, 5, 10, 15, 20, 24], sound=made.tone(25.0))
    assert media.probe(media.normalise(file)).duration_s == pytest.approx(20.0, abs=0.1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"This is a letter, not a video.\n" * 50, "damaged"),
        (b"#EXTM3U\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", "damaged"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "damaged"),
        (random.Random(0).randbytes(5_000), "damaged"),
        (made.media_file()[:3_000], "damaged"),
    ],
    ids=["empty", "text", "playlist", "concat", "random", "truncated"],
)
def test_what_is_no_media_is_named(tmp_path, content, words):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    for source in (path, content):
        for read in (media.probe, media.read_audio, media.normalise, media.stream_seconds):
            with pytest.raises(media.MediaError, match=words) as caught:
                read(source)
            assert caught.value.reason.endswith(".")


def test_missing_streams_are_named(tmp_path):
    with pytest.raises(media.MediaError, match="missing"):
        media.probe(tmp_path / "absent.mp4")
    with pytest.raises(media.MediaError, match="cannot be opened"):
        media.probe(tmp_path)
    silent = made.media_file(audio=None)
    assert not media.probe(silent).has_audio
    with pytest.raises(media.MediaError, match="no sound"):
        media.normalise(silent)
    blind = made.media_file(video=None)
    assert not media.probe(blind).has_video
    with pytest.raises(media.MediaError, match="no video"):
        media.normalise(blind)
    with pytest.raises(media.MediaError, match="no video"):
        media.read_frames(blind, [0.0])


def test_sound_after_the_end_is_empty(clip):
    assert len(media.read_audio(clip, start_s=30.0)) == 0
    assert media.read_frames(clip, [30.0]) == []
    with pytest.raises(media.MediaError, match="no picture"):
        media.normalise(clip, 30.0, 36.0)


def test_sound_files(tmp_path):
    sound = made.tone(2.0)[0]
    media.write_wav(tmp_path / "voice.wav", sound)
    back = media.read_audio(tmp_path / "voice.wav")
    assert np.abs(back - sound).max() < 1e-4
    assert np.abs(media.from_int16(media.to_int16(sound).tobytes()) - sound).max() < 1e-4
    assert media.to_int16(np.array([-2.0, 2.0])).tolist() == [-32767, 32767]


def test_video_without_sound_and_odd_sizes():
    odd = [made.numbered_picture(number, 321, 241) for number in range(30)]
    found = media.probe(media.write_video(odd, np.zeros(0, np.float32)))
    assert (found.width, found.height, found.has_audio) == (320, 240, False)
    with pytest.raises(media.MediaError, match="no picture"):
        media.write_video([], np.zeros(0, np.float32))


@pytest.mark.skipif(not REAL_CLIPS, reason="the folder of real clips is absent")
def test_real_clips():
    for path in REAL_CLIPS:
        found = media.probe(path)
        assert (found.width, found.height, found.video_codec) == (360, 288, "mpeg1video")
        assert len(media.read_frames(path, [0.0, 1.0, 2.0])) == 3
        clip = media.normalise(path)
        assert media.stream_seconds(clip) == pytest.approx((3.0, 3.0), abs=0.1)
        direct, again = media.read_audio(path)[:44_000], media.read_audio(clip)[:44_000]
        assert np.corrcoef(direct, again)[0, 1] > 0.99


def test_encoding_is_fast_enough():
    frames = [made.numbered_picture(number // 4, 480, 360) for number in range(150)]
    sound = made.tone(6.0)[0]
    clip = media.write_video(frames, sound)
    encoding = effort(lambda: media.write_video(frames, sound))
    decoding = effort(lambda: (media.read_frames(clip, [1.0, 4.0]), media.read_audio(clip)))
    assert encoding < 8, "expected about 2"
    assert decoding < 1, "expected about 0.2"
