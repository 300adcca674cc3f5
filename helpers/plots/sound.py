"""Figures of notebook 03: waveforms, spectrograms and the pitch of a voice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.plots import style
from helpers.settings import HOP_SAMPLES, SAMPLE_RATE, WINDOW_SAMPLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def waveform(samples: np.ndarray, title: str = "Waveform") -> Figure:
    """Draws a waveform over time.

    Args:
        samples: Float array (n,), 16 kHz, -1 to 1.
        title: Heading.
    """
    drawn, axes = style.figure(size=(11, 3))
    _waveform(axes[0, 0], samples)
    axes[0, 0].set_title(title)
    return drawn


def framing(frame: np.ndarray, windowed: np.ndarray) -> Figure:
    """Draws one frame of sound before and after the window that fades its ends.

    Args:
        frame: Samples of the frame, (400,).
        windowed: The same, multiplied by the window.
    """
    drawn, axes = style.figure(1, 2, (11, 3.4), sharey=True)
    milliseconds = 1000 * np.arange(len(frame)) / SAMPLE_RATE
    axes[0, 0].plot(milliseconds, frame, color=style.ORANGE)
    axes[0, 0].set(title="One frame", xlabel="time (ms)", ylabel="amplitude (-1 to 1)")
    axes[0, 1].plot(milliseconds, windowed, color=style.BLUE)
    axes[0, 1].set(title="The same with a Hann window", xlabel="time (ms)")
    return drawn


def pitch_by_group(medians: Mapping[str, Sequence[float]], title: str = "") -> Figure:
    """Draws how high the voices of each group are.

    Args:
        medians: Name of a group to the median fundamental frequency of each of its voices, Hz.
        title: Heading.
    """
    medians = {name: values for name, values in medians.items() if len(values)}
    if not medians:
        return style.empty("There is no voice whose pitch could be followed.")
    drawn, axes = style.figure(size=(9.0, 4.2), title=title)
    bins = np.arange(60, 401, 10)
    for name, values in medians.items():
        label = f"{name}: {len(values)} voices, mean {np.mean(values):.0f} Hz"
        axes[0, 0].hist(values, bins, alpha=0.6, label=label)
    axes[0, 0].set(xlabel="median fundamental frequency (Hz)", ylabel="voices")
    axes[0, 0].yaxis.get_major_locator().set_params(integer=True)
    axes[0, 0].legend()
    return drawn


def spectrogram(
    compressed: np.ndarray,
    pitch: tuple[np.ndarray, np.ndarray] | None = None,
    title: str = "Spectrogram",
) -> Figure:
    """Draws the size of a compressed spectrogram, with the fundamental frequency over it.

    With the fundamental frequency it shows 0 to 3 kHz only, where one can tell harmonics apart.

    Args:
        compressed: What `spectrogram.Spectrogram` makes of one clip, (frames, 257, 2).
        pitch: Times in seconds and frequencies in hertz, NaN where there is no voice.
        title: Heading.
    """
    drawn, axes = style.figure(size=(11, 4.4))
    _spectrogram(drawn, axes[0, 0], compressed)
    if pitch is not None:
        times, hertz = pitch
        axes[0, 0].plot(times, hertz / 1000, color=style.VERMILION, label="F0")
        axes[0, 0].legend(loc="upper right", frameon=True)
        axes[0, 0].set_ylim(0, 3)
    axes[0, 0].set_title(title)
    return drawn


def parts(compressed: np.ndarray, seconds: float = 1.5) -> Figure:
    """Draws the two channels that the network of the paper sees: real and imaginary part.

    Args:
        compressed: What `spectrogram.Spectrogram` makes of one clip, (frames, 257, 2).
        seconds: How much of the beginning to show.
    """
    drawn, axes = style.figure(1, 2, (12, 4.4), "The two channels", sharey=True)
    frames = round(seconds * SAMPLE_RATE / HOP_SAMPLES)
    limit = np.quantile(np.abs(compressed), 0.99)
    for channel, name in enumerate(("Real part", "Imaginary part")):
        values = compressed[:frames, :, channel]
        image = _image(axes[0, channel], values, style.DIVERGING, -limit, limit)
        axes[0, channel].set_title(name)
    axes[0, 1].set_ylabel("")
    drawn.colorbar(image, ax=axes, label="sgn(S) |S|$^{0.3}$")
    return drawn


def compression(plain: np.ndarray, compressed: np.ndarray, hop: int = HOP_SAMPLES) -> Figure:
    """Compares a spectrogram before and after the power law: pictures and values.

    Args:
        plain: `spectrogram.Spectrogram(power=1)` of one clip, (frames, 257, 2).
        compressed: `spectrogram.Spectrogram()` of the same clip.
        hop: Samples from one frame to the next.
    """
    drawn, axes = style.figure(2, 2, (12, 7.4), "What the power law does")
    for row, (values, name) in enumerate(((plain, "Before"), (compressed, "After"))):
        size = np.hypot(values[..., 0], values[..., 1])
        image = _image(axes[row, 0], size, style.SEQUENTIAL, 0, float(size.max()), hop)
        axes[row, 0].set_title(f"{name}: size")
        drawn.colorbar(image, ax=axes[row, 0], label="|S|")
        axes[row, 1].hist(values.ravel(), bins=101, color=(style.ORANGE, style.BLUE)[row])
        axes[row, 1].set(
            title=f"{name}: real and imaginary parts",
            xlabel="value",
            ylabel="count (log)",
            yscale="log",
        )
    return drawn


def log_mel(
    values: np.ndarray,
    hop: int = 320,
    lowest_hz: float = 50.0,
    highest_hz: float = 7600.0,
    title: str = "Log-mel spectrogram without the microphone",
) -> Figure:
    """Draws a log-mel spectrogram as the compact network sees it.

    Args:
        values: What `spectrogram.LogMel` makes of one clip, (frames, bands), natural logarithms.
        hop: Samples from one frame to the next.
        lowest_hz: Lower edge of the first band.
        highest_hz: Upper edge of the last band.
        title: Heading.
    """
    drawn, axes = style.figure(size=(11, 4.4))
    decibels = 10 / np.log(10) * values
    seconds = len(values) * hop / SAMPLE_RATE
    limit = float(np.quantile(np.abs(decibels), 0.995))
    image = axes[0, 0].imshow(
        decibels.T,
        origin="lower",
        aspect="auto",
        cmap=style.SEQUENTIAL,
        extent=(0, seconds, -0.5, values.shape[1] - 0.5),
        vmin=-limit,
        vmax=limit,
    )
    ticks = np.array([100, 200, 400, 800, 1600, 3200, 6400])
    low, high, mels = (2595 * np.log10(1 + f / 700) for f in (lowest_hz, highest_hz, ticks))
    axes[0, 0].set_yticks((mels - low) / (high - low) * (values.shape[1] + 1) - 1, ticks)
    axes[0, 0].set(title=title, xlabel="time (s)", ylabel="frequency (Hz, mel scale)")
    axes[0, 0].grid(visible=False)
    drawn.colorbar(image, ax=axes[0, 0], label="against the clip's mean (dB)")
    return drawn


def pitch(times: np.ndarray, hertz: np.ndarray, title: str = "Fundamental frequency") -> Figure:
    """Draws the fundamental frequency of a voice over time, with its median.

    Args:
        times: Seconds, (frames,).
        hertz: Frequencies, (frames,), NaN where there is no voice.
        title: Heading.
    """
    drawn, axes = style.figure(size=(11, 3.4))
    axes[0, 0].plot(times, hertz, ".", color=style.BLUE, markersize=4)
    if np.isfinite(hertz).any():
        median = float(np.nanmedian(hertz))
        axes[0, 0].axhline(median, color=style.VERMILION, linestyle="--")
        axes[0, 0].annotate(
            f"median {median:.0f} Hz",
            (1, median),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 4),
            textcoords="offset points",
            ha="right",
            color=style.VERMILION,
        )
    axes[0, 0].set(title=title, xlabel="time (s)", ylabel="frequency (Hz)", ylim=(50, 410))
    return drawn


def voice(
    samples: np.ndarray,
    compressed: np.ndarray,
    pitch: tuple[np.ndarray, np.ndarray],
    title: str,
    hop: int = HOP_SAMPLES,
) -> Figure:
    """Draws a voice on one page: waveform, spectrogram and F0, one under the other.

    Args:
        samples: Float array (n,), 16 kHz, -1 to 1.
        compressed: What `spectrogram.Spectrogram` makes of it, (frames, 257, 2).
        pitch: Times in seconds and frequencies in hertz, NaN where there is no voice.
        title: Heading.
        hop: Samples from one frame of the spectrogram to the next.
    """
    drawn, axes = style.figure(3, 1, (11, 7.6), title, sharex=True, height_ratios=(2, 4, 2))
    _waveform(axes[0, 0], samples)
    _spectrogram(drawn, axes[1, 0], compressed, hop)
    axes[2, 0].plot(*pitch, ".", color=style.VERMILION, markersize=4)
    axes[2, 0].set(xlabel="time (s)", ylabel="F0 (Hz)", ylim=(50, 410))
    for axis in axes[:2, 0]:
        axis.set_xlabel("")
    return drawn


def _waveform(axis: Axes, samples: np.ndarray) -> None:
    # A line through 96,000 samples is slow to draw; the extremes of 10 ms look the same.
    frames = np.resize(samples, (len(samples) // HOP_SAMPLES, HOP_SAMPLES))
    times = np.arange(len(frames)) * HOP_SAMPLES / SAMPLE_RATE
    axis.fill_between(times, frames.min(1), frames.max(1), color=style.BLUE, linewidth=0.5)
    limit = max(0.05, 1.1 * float(np.abs(samples).max(initial=0)))
    axis.set(xlabel="time (s)", ylabel="amplitude (-1 to 1)", xlim=(0, len(samples) / SAMPLE_RATE))
    axis.set_ylim(-limit, limit)


def _spectrogram(drawn: Figure, axis: Axes, compressed: np.ndarray, hop: int = HOP_SAMPLES) -> None:
    size = np.hypot(compressed[..., 0], compressed[..., 1])
    image = _image(axis, size, style.SEQUENTIAL, 0, float(np.quantile(size, 0.999)), hop)
    drawn.colorbar(image, ax=axis, label="compressed size")


def _image(
    axis: Axes, values: np.ndarray, colours: str, low: float, high: float, hop: int = HOP_SAMPLES
):
    seconds = (len(values) * hop + WINDOW_SAMPLES - hop) / SAMPLE_RATE
    image = axis.imshow(
        values.T,
        origin="lower",
        aspect="auto",
        cmap=colours,
        extent=(0, seconds, 0, SAMPLE_RATE / 2000),
        vmin=low,
        vmax=high,
    )
    axis.set(xlabel="time (s)", ylabel="frequency (kHz)")
    axis.grid(visible=False)
    return image
