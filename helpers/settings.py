"""What a run is: corpus, mode, seed and the paper's constants.

Importing this room costs milliseconds: it needs nothing but the standard library.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Mapping

SAMPLE_RATE = 16_000
"""Samples per second of every waveform (Speech2Face, section 3)."""
SPEECH_SECONDS = 6.0
"""Length of the waveform that the voice encoder hears, in seconds."""
SPEECH_SAMPLES = int(SAMPLE_RATE * SPEECH_SECONDS)
WINDOW_SAMPLES = 400
"""Hann window, 25 ms."""
HOP_SAMPLES = 160
"""Hop between windows, 10 ms."""
FFT_POINTS = 512
"""So many samples are transformed at once: 257 frequencies from 0 to 8,000 Hz."""
POWER = 0.3
"""Exponent of the power law that compresses the spectrogram."""
CROP_SIZE = 224
"""Side of a face crop in pixels."""
CROP_MARGIN = 0.3
"""How much a face crop is larger than the detector's box (VGGFace2)."""
ALIGNED_SIZE = 128
"""Side of an aligned face in pixels: the decoder's output."""
CLIP_LINES = 360
"""Clips are shrunk to this height in pixels."""
CLIP_RATE = 25
"""Frames per second of a clip."""
FEATURE_SIZES = {"dlib": 128, "vggface": 4096, "resnet50": 2048, "senet50": 2048}
"""Length of the face feature of each recognition network."""
FEATURE_DEVIATION = 0.04
"""Typical deviation of one number of a dlib feature from its mean."""
SHARD_CLIPS = 64
"""Clips in one shard of a table."""
FIRST_TEST_ISLANDER = 1_000_000
"""Islanders from this number on are for testing only."""

LONGEST_CLIP_SECONDS = 20.0
"""A clip is cut off here; the voice encoder hears six seconds."""

CHOICES = {
    "corpus": (
        "archipelago",
        "my_videos",
        "manifest",
        "crema_d",
        "ravdess",
        "grid",
        "avspeech",
    ),
    "mode": ("quick", "full"),
    "features": tuple(FEATURE_SIZES),
    "network": ("compact", "paper"),
    "loss": ("compact", "paper"),
    "precision": ("auto", "float32", "mixed"),
    "weights": ("released", "trained"),
    "detector": ("mtcnn", "hog"),
    "verbosity": ("quiet", "normal", "verbose"),
}

_RANGES = {
    "seed": (0, 2**32 - 1),
    "batch_size": (1, 1024),
    "clip_seconds": (1, LONGEST_CLIP_SECONDS),
    "clip_rate": (5, 60),
    # Beyond these the spectrogram of 6 s is too small for the network of the paper.
    "window": (64, 4096),
    "hop": (40, 350),
    "fft_points": (64, 8192),
    "power": (0.05, 1),
}
"""Least and greatest value of settings that have both."""
_SPECTROGRAM = ("window", "hop", "fft_points", "power")
FIXED = {
    "sample_rate": f"Sound always has {SAMPLE_RATE:,} samples per second: every network here, and "
    "the released weights with them, hears it so.",
    "duration": "The voice encoder always hears 6 s; clip_seconds says how long a clip may be.",
}
"""What earlier tools let one choose and this series does not, and why."""

_BY_MODE = {
    "quick": {"frames_per_clip": 2, "encoder_epochs": 6, "decoder_epochs": 12, "gan_epochs": 3},
    "full": {"frames_per_clip": 4, "encoder_epochs": 60, "decoder_epochs": 40, "gan_epochs": 20},
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """One run of the series. Make it with `Settings.make`, which checks every value.

    Attributes:
        corpus: `archipelago` (embedded), `my_videos` (a folder), `manifest` (a CSV file), or people
            from elsewhere: `crema_d`, `ravdess`, `grid`, `avspeech`; see `data_manifest`.
        mode: `quick` (no GPU, Drive or network; minutes) or `full` (a Colab GPU; hours).
        seed: Seed of everything random.
        videos: Folder of videos for the corpus `my_videos`.
        manifest: CSV file for the corpus `manifest`, or AVSpeech's own for `avspeech`; a path or
            an address.
        rows: At most this many rows of the manifest, evenly from its beginning to its end; 0 takes
            what the mode says.
        row_range: Which rows of the manifest to take from, such as `1001-2000`; empty means all.
        corpus_at: Where a published corpus lies, in place of the address in its recipe.
        accept_youtube_terms: You have read YouTube's terms and take `avspeech` on your own account.
        allow_private_addresses: Rows may lead to this machine and to its own network.
        cookies: File of cookies for yt-dlp; empty means none.
        clip_seconds: A clip is cut off after so many seconds.
        clip_rate: Frames per second of a clip.
        keep_clips: False drops the clips once faces and speech are made, which saves the disk.
        detector: What finds faces: `mtcnn`, or the quicker and less able `hog` of dlib.
        window: Samples of the Hann window of the spectrogram.
        hop: Samples from one window to the next.
        fft_points: Points of the Fourier transform.
        power: Exponent of the power law.
        frames_per_clip: Frames looked at in each clip.
        features: Recognition network that turns a face into a feature.
        network: Voice encoder to build: `compact`, or the one of the `paper`, which wants a GPU.
        loss: What it learns with: the terms made for `compact`, or the three of the `paper`.
        weights: What 06 and 07 use: `released`, or those `trained` by 04 and 05.
        encoder_epochs: Passes over the training clips in 04.
        decoder_epochs: Passes over the training faces in 05, before the GAN.
        gan_epochs: Passes over the training faces in 05, with the GAN.
        patience: Epochs without a better one on the validation speakers after which a training of
            04, or of 05 before the GAN, ends; 0 never ends it early. It counts for trainings that
            have not begun.
        batch_size: Clips or faces per training step.
        contrastive: Weight of the contrastive term of the `compact` loss; 0 switches it off.
        precision: Numbers to train with: `float32`, `mixed` (16 bits where that is safe), or
            `auto`, which is `mixed` on a GPU.
        gpus: GPUs that train together; 0 takes all that are there.
        use_drive: On Colab, keep tables and checkpoints on Google Drive as well.
        workspace: Local folder of tables and checkpoints; empty means the default.
        dask: Address of a Dask scheduler for 01 to 03; empty means processes of this machine.
        tables_at: Folder of the tables for all workers, such as `s3://bucket/folder`; empty means
            the workspace.
        verbosity: `quiet` (no progress bars), `normal`, or `verbose` (a line for each clip).
    """

    corpus: str = "archipelago"
    mode: str = "quick"
    seed: int = 0
    videos: str = ""
    manifest: str = ""
    rows: int = 0
    row_range: str = ""
    corpus_at: str = ""
    accept_youtube_terms: bool = False
    allow_private_addresses: bool = False
    cookies: str = ""
    clip_seconds: float = LONGEST_CLIP_SECONDS
    clip_rate: int = CLIP_RATE
    keep_clips: bool = True
    detector: str = "mtcnn"
    frames_per_clip: int = 2
    window: int = WINDOW_SAMPLES
    hop: int = HOP_SAMPLES
    fft_points: int = FFT_POINTS
    power: float = POWER
    features: str = "dlib"
    network: str = "compact"
    loss: str = "compact"
    weights: str = "released"
    encoder_epochs: int = 6
    decoder_epochs: int = 12
    gan_epochs: int = 3
    patience: int = 0
    batch_size: int = 32
    contrastive: float = 1.0
    precision: str = "auto"
    gpus: int = 0
    use_drive: bool = False
    workspace: str = ""
    dask: str = ""
    tables_at: str = ""
    verbosity: str = "normal"

    @classmethod
    def make(cls, **values: object) -> Settings:
        """Checks the values and fills in what the mode says about the others.

        Args:
            **values: Any field of `Settings`. Numbers given as 0 or None take the mode's value
                where the mode has one.

        Returns:
            The settings of the run.

        Raises:
            ValueError: A field does not exist or a value is not valid; the message names the
                valid ones.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name in values:
            if name in FIXED:
                raise ValueError(f"There is no setting {name!r}. {FIXED[name]}")
            if name not in fields:
                near = difflib.get_close_matches(name, fields, 1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise ValueError(
                    f"There is no setting {name!r}.{hint} Valid settings: {', '.join(fields)}."
                )
        for name, choices in CHOICES.items():
            if name in values and values[name] not in choices:
                raise ValueError(
                    f"{name}={values[name]!r} is not valid. Choose one of: {', '.join(choices)}."
                )
        by_mode = _BY_MODE[str(values.get("mode", cls.mode))]
        chosen = {name: value for name, value in values.items() if value or name not in by_mode}
        for name, value in chosen.items():
            _check_type(name, value, type(fields[name].default))
            if isinstance(fields[name].default, float):
                chosen[name] = float(value)  # 1 and 1.0 are the same run.
        settings = cls(**{**by_mode, **chosen})
        if settings.corpus == "my_videos" and not settings.videos:
            raise ValueError("corpus='my_videos' needs videos=FOLDER, the folder of your videos.")
        if settings.corpus == "manifest" and not settings.manifest:
            raise ValueError("corpus='manifest' needs manifest=FILE, a CSV file of rows.")
        if settings.corpus == "avspeech":
            _check_avspeech(settings)
        _check_spectrogram(settings, values)
        if not re.fullmatch(r"([1-9]\d*(-([1-9]\d*)?)?)?", settings.row_range):
            raise ValueError(
                f"row_range={settings.row_range!r} is not valid: it should be like 1001-2000, "
                "where 1 is the first row; empty means all rows."
            )
        return settings

    @classmethod
    def from_form(cls, names: Mapping[str, object]) -> Settings:
        """Makes the settings of a notebook from the names in its form cell.

        Args:
            names: `globals()` of the notebook. `CORPUS` is the field `corpus`, and so on; `MORE`
                holds further fields, such as `{"clip_seconds": 6}`.

        Returns:
            The settings of the run.

        Raises:
            ValueError: As in `make`.
        """
        fields = (field.name for field in dataclasses.fields(cls))
        form = {name: names[name.upper()] for name in fields if name.upper() in names}
        more = names.get("MORE", {})
        if not isinstance(more, Mapping):
            raise ValueError(
                f'MORE={more!r} is not valid: it should be like {{"clip_seconds": 6}}.'
            )
        return cls.make(**{**form, **more})

    @property
    def spectrogram(self) -> dict[str, float]:
        """What `helpers.spectrogram.Spectrogram` takes: window, hop, fft_points and power."""
        return {name: getattr(self, name) for name in _SPECTROGRAM}


def _check_spectrogram(settings: Settings, values: Mapping[str, object]) -> None:
    """Refuses a spectrogram that nobody would hear as it is meant."""
    if settings.window > settings.fft_points:
        raise ValueError(
            f"window={settings.window} is not valid: it should not be larger than "
            f"fft_points={settings.fft_points}."
        )
    usual = {"window": WINDOW_SAMPLES, "hop": HOP_SAMPLES, "fft_points": FFT_POINTS, "power": POWER}
    changed = [
        f"{name}={value}" for name, value in settings.spectrogram.items() if value != usual[name]
    ]
    wrong = [
        f"{name}={values[name]!r}"
        for name, needed in (("weights", "trained"), ("network", "paper"))
        if values.get(name, needed) != needed
    ]
    if changed and wrong:
        raise ValueError(
            f"{' and '.join(changed)} would not suit {' and '.join(wrong)}: the released weights "
            f"hear a window of {WINDOW_SAMPLES}, a hop of {HOP_SAMPLES}, {FFT_POINTS} points and "
            f"the power {POWER}, and the compact network has a log-mel spectrogram of its own. "
            "Leave these, or take network='paper' and weights='trained' and train it in 04."
        )


def _check_avspeech(settings: Settings) -> None:
    if not settings.accept_youtube_terms:
        raise ValueError(
            "corpus='avspeech' fetches pieces of YouTube videos. YouTube's terms "
            "(https://www.youtube.com/t/terms) allow that only where YouTube or the people who "
            "uploaded them do. Read them and data_manifest/avspeech.md, and set "
            "accept_youtube_terms=True if you take it on your own account."
        )
    if not settings.manifest:
        raise ValueError(
            "corpus='avspeech' needs manifest=FILE, AVSpeech's own CSV: get avspeech_train.csv or "
            "avspeech_test.csv from https://looking-to-listen.github.io/avspeech/download.html in "
            "a browser with a Google login and upload it, or give the address of a copy."
        )


def _check_type(name: str, value: object, wanted: type) -> None:
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        wanted = int
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise ValueError(f"{name}={value!r} is not valid: it should be of type {wanted.__name__}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name}={value!r} is not valid: it should be a finite number.")
    if wanted in (int, float) and value < 0:
        raise ValueError(f"{name}={value!r} is not valid: it should not be negative.")
    least, most = _RANGES.get(name, (0, math.inf))
    if wanted in (int, float) and not least <= value <= most:
        raise ValueError(f"{name}={value!r} is not valid: it should be {least:,} to {most:,}.")
