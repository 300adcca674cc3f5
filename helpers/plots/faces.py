"""Figures of faces: what the detector found, what was cut out, what a voice suggests."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from helpers.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from helpers.face_crop import Face
    from helpers.faces.face_detection import Detection

_GENERATED = (
    "### ### #  # ### ### ### ### ### ## ",
    "#   #   ## # #   # # # #  #  #   # #",
    "# # ##  # ## ##  ##  ###  #  ##  # #",
    "# # #   #  # #   # # # #  #  #   # #",
    "### ### #  # ### # # # #  #  ### ## ",
)
_LINES = (
    *(range(0, 17), range(17, 22), range(22, 27), range(27, 31), range(31, 36)),
    *([*range(36, 42), 36], [*range(42, 48), 42], [*range(48, 60), 48], [*range(60, 68), 60]),
)
"""Runs of landmarks that belong together: outline, brows, nose, eyes, lips."""


def mark_generated(face: np.ndarray) -> np.ndarray:
    """Puts a small visible mark on a generated face: the word GENERATED, bottom right.

    Args:
        face: (height, width, 3) uint8 RGB.

    Returns:
        A marked copy of the same shape. A picture under 48 pixels gets a chequered corner.
    """
    marked = face.copy()
    height, width = face.shape[:2]
    letters = np.array([[pixel == "#" for pixel in line] for line in _GENERATED])
    text = np.pad(letters, 2).repeat(max(1, width // 128), 0).repeat(max(1, width // 128), 1)
    if min(height, width) < 48:
        text = np.indices((max(2, height // 8), max(2, width // 8))).sum(axis=0) % 2 == 0
    corner = marked[height - text.shape[0] :, width - text.shape[1] :]
    corner[:] = np.where(text[..., None], 255, corner // 3)
    return marked


def detections(
    frames: Sequence[np.ndarray],
    found: Sequence[Sequence[Detection]],
    speakers: Sequence[Face | Detection | None],
    columns: int = 4,
    title: str = "",
) -> Figure:
    """Draws what the detector found in each frame and who was taken for the speaker.

    Args:
        frames: (height, width, 3) uint8 RGB each.
        found: All faces of each frame.
        speakers: The speaker's face of each frame or None; a `Face` is drawn with its landmarks.
        columns: Frames side by side.
        title: Heading.

    Returns:
        The speaker's box is blue and thick with the five keypoints of MTCNN and the 68 landmarks
        of dlib; the boxes of other faces are orange and dashed.
    """
    if not len(frames):
        return style.empty("There are no frames to show.")
    drawn, axes = _grid(len(frames), columns, 3.2, 2.75, title)
    for place, frame, faces, speaker in zip(axes.flat, frames, found, speakers, strict=False):
        others = [face for face in faces if speaker is None or face.box != speaker.box]
        note = "no face" if not faces else f"{len(faces)} face{'s' * (len(faces) > 1)}"
        if speaker is not None:
            note += f", confidence {speaker.confidence:.3f}"
        style.picture(place, frame, note, style.BLACK if faces else style.VERMILION)
        for face in others:
            _box(place, face.box, style.ORANGE, "--", 2)
        if speaker is not None:
            _speaker(place, speaker)
        place.set(xlim=(-0.5, frame.shape[1] - 0.5), ylim=(frame.shape[0] - 0.5, -0.5))
    return drawn


def crops(rows: Sequence[Mapping[str, object]], columns: int = 8, title: str = "") -> Figure:
    """Shows crops and, under each, the aligned face.

    Args:
        rows: Rows of the table `faces`; rejected rows are shown as a field that says why.
        columns: Faces side by side.
        title: Heading.

    Returns:
        Pairs of pictures: what was cut out above, the canonical position below.
    """
    if not rows:
        return style.empty("There are no faces to show.")
    columns = min(columns, len(rows))
    bands = -(-len(rows) // columns)
    size = (1.62 * columns + 0.3, 4.1 * bands + 0.4)
    drawn, axes = style.figure(2 * bands, columns, size, title)
    for place in axes.flat:
        place.set_axis_off()
    for index, row in enumerate(rows):
        upper = axes[2 * (index // columns), index % columns]
        lower = axes[2 * (index // columns) + 1, index % columns]
        name = "\n".join(textwrap.wrap(str(row["clip_id"]), 14, max_lines=2, placeholder="…"))
        if row["status"] != "ok":
            upper.set_axis_on()
            style.picture(
                upper, np.full((224, 224, 3), 235, np.uint8), name, style.STATUS_COLOURS["rejected"]
            )
            upper.text(
                *(0.5, 0.5, textwrap.fill(str(row["reason"]), 14, max_lines=6)),
                transform=upper.transAxes,
                ha="center",
                va="center",
                fontsize=style.SMALLEST,
            )
            continue
        for place, data, note in (
            (upper, row["crop"], name),
            (lower, row["aligned"], f"{row['time_s']:.1f} s\nfrontal {row['frontality']:.2f}"),
        ):
            place.set_axis_on()
            style.picture(place, _decoded(data), note)
    return drawn


def generated(
    faces: Mapping[str, Sequence[np.ndarray]],
    captions: Sequence[str] = (),
    title: str = "",
    side: float = 1.55,
) -> Figure:
    """Shows rows of generated faces under each other, each with its mark.

    Args:
        faces: Name of each row to its faces, (height, width, 3) uint8 RGB, without a mark.
        captions: A text under each column.
        title: Heading.
        side: Side of a face in inches.
    """
    marked = {name: [mark_generated(face) for face in row] for name, row in faces.items()}
    return side_by_side(marked, captions, title, side)


def side_by_side(
    faces: Mapping[str, Sequence[np.ndarray | None]],
    captions: Sequence[str] = (),
    title: str = "",
    side: float = 1.55,
) -> Figure:
    """Shows rows of faces under each other, such as the true ones above those from the voice.

    Args:
        faces: Name of each row to its faces, (height, width, 3) uint8 or 0..1 float RGB; None
            leaves a place empty.
        captions: A text under each column.
        title: Heading.
        side: Side of a face in inches.

    Returns:
        A figure with a labelled row for each name.
    """
    columns = max((len(row) for row in faces.values()), default=0)
    if not columns:
        return style.empty("There are no faces to show.")
    size = (side * columns + 1.5, (side + 0.12) * len(faces) + (0.5 if title else 0.2) + 0.3)
    drawn, axes = style.figure(len(faces), columns, size, title)
    for line, (name, row) in enumerate(faces.items()):
        for place in axes[line, len(row) :]:
            place.set_axis_off()
        for column, face in enumerate(row):
            place = axes[line, column]
            if face is None:
                place.set(xticks=[], yticks=[], frame_on=False)
                place.grid(visible=False)
            else:
                style.picture(place, face if face.dtype == np.uint8 else np.clip(face, 0, 1))
            if line == len(faces) - 1 and column < len(captions):
                place.set_xlabel(textwrap.fill(captions[column], 16), fontsize=style.SMALLEST)
        axes[line, 0].set_ylabel(
            textwrap.fill(name, 14), rotation=0, ha="right", va="center", labelpad=8
        )
    return drawn


def distances(same: np.ndarray, different: np.ndarray, title: str = "") -> Figure:
    """Draws the distances between face features of one person and of two.

    Args:
        same: Distances between pictures of one person, (n,).
        different: Distances between pictures of two people, (m,).
        title: Heading.

    Returns:
        Two histograms, each in shares of its own number, because most pairs are of
        two people. The thick lines are the means.
    """
    if not len(same) or not len(different):
        return style.empty("There are not two pictures of one person and of two people.")
    drawn, axes = style.figure(size=(8.5, 4.2), title=title)
    place = axes[0, 0]
    bins = np.linspace(0, max(same.max(), different.max()), 41)
    for found, name, colour in (
        (same, "one person", style.BLUE),
        (different, "two people", style.ORANGE),
    ):
        shares = np.full(len(found), 100 / len(found))
        label = f"{name}: {len(found):,} pairs, mean {found.mean():.2f}"
        place.hist(found, bins, weights=shares, color=colour, alpha=0.6, label=label)
        place.axvline(found.mean(), color=colour, linewidth=2.5)
    place.set(xlabel="L2 distance of the features", ylabel="pairs (%)")
    style.legend_above(place)
    return drawn


def features(shown: np.ndarray, people: Sequence[str], title: str = "") -> Figure:
    """Draws features as rows of shades: alike for one person, different for two.

    Args:
        shown: (n, size) features, those of one person one after the other.
        people: Whose they are, n names.
        title: Heading.

    Returns:
        A map of the first 128 numbers that differ at all, each around its mean and in units of its
        standard deviation.
    """
    if not len(shown):
        return style.empty("There are no features to show.")
    spread = shown.std(axis=0)
    first = np.flatnonzero(spread > 0)[:128]
    values = (shown[:, first] - shown[:, first].mean(axis=0)) / spread[first]
    drawn, axes = style.figure(size=(11.0, 0.26 * len(shown) + 1.4), title=title)
    place = axes[0, 0]
    image = place.imshow(values, cmap=style.DIVERGING, vmin=-2.5, vmax=2.5, aspect="auto")
    drawn.colorbar(image, ax=place, label="SD from the mean", extend="both", pad=0.01)
    place.grid(visible=False)
    starts = [row for row in range(len(shown)) if row == 0 or people[row] != people[row - 1]]
    ends = [*starts[1:], len(shown)]
    middles = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
    place.set_yticks(middles, [_shortened(people[start], 16) for start in starts])
    for start in starts[1:]:
        place.axhline(start - 0.5, color="white", linewidth=3)
    place.set_xlabel(f"number of the feature, {len(first)} of {shown.shape[1]:,}")
    return drawn


def canonical(aligned: Sequence[np.ndarray], template: np.ndarray, title: str = "") -> Figure:
    """Shows aligned faces and their mean with the points that alignment brings together.

    Args:
        aligned: (side, side, 3) uint8 RGB each, all of one size.
        template: (5, 2) points in pixels, as `face_crop.template` gives them.
        title: Heading.

    Returns:
        Up to six faces and, last, the mean of all: sharp where faces agree, blurred elsewhere.
    """
    if not len(aligned):
        return style.empty("There are no faces to show.")
    mean = np.mean(aligned, axis=0).astype(np.uint8)
    shown = [*aligned[:6], mean]
    drawn, axes = _grid(len(shown), len(shown), 1.9, 2.3, title)
    for index, (place, face) in enumerate(zip(axes.flat, shown, strict=True)):
        last = index == len(shown) - 1
        style.picture(place, face, f"mean of {len(aligned)}" if last else "")
        place.plot(*template.T, "+", color=style.YELLOW, markersize=9, markeredgewidth=1.6)
    return drawn


def _grid(
    count: int, columns: int, width: float, height: float, title: str
) -> tuple[Figure, np.ndarray]:
    columns = min(columns, count)
    rows = -(-count // columns)
    size = (width * columns + 0.2, height * rows + (0.5 if title else 0.1))
    drawn, axes = style.figure(rows, columns, size, title)
    for place in axes.flat[count:]:
        place.set_axis_off()
    return drawn, axes


def _speaker(place: Axes, speaker: Face | Detection) -> None:
    _box(place, speaker.box, style.SKY_BLUE, "-", 3)
    points = getattr(speaker, "landmarks", None)
    if points is not None:
        for run in _LINES:
            place.plot(*points[list(run)].T, "-", color="white", linewidth=1)
    place.plot(
        *np.asarray(speaker.keypoints).T,
        "o",
        color=style.YELLOW,
        markersize=4,
        markeredgecolor="black",
        markeredgewidth=0.6,
    )


def _box(place: Axes, box: Sequence[float], colour: str, line: str, width: float) -> None:
    from matplotlib.patches import Rectangle

    x, y, across, down = box
    place.add_patch(
        Rectangle((x, y), across, down, fill=False, edgecolor=colour, ls=line, lw=width)
    )


def _decoded(data: bytes) -> np.ndarray:
    from helpers.face_crop import from_jpeg

    return from_jpeg(data)


def _shortened(text: object, width: int) -> str:
    text = str(text)
    return text if len(text) <= width else text[: width - 1] + "…"
