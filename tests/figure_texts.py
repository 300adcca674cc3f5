"""What is written on a figure, for those who test whether it can be read."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.text import Text


def assert_readable(figure: Figure) -> None:
    """Draws a figure and checks that its texts are large enough and its caption is not cut off.

    Args:
        figure: Made by one of the rooms of `helpers.plots`.
    """
    figure.canvas.draw()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    small = [text.get_text() for text in texts if text.get_fontsize() < 12]
    assert not small, "too small to be read on a projector"
    if figure._supxlabel is not None:
        box = figure._supxlabel.get_window_extent()
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, "the caption is cut off"
