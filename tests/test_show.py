"""What a notebook shows beside figures."""

from helpers import show


def cells_of(*values: object) -> list[str]:
    shown = show.table([{str(place): value for place, value in enumerate(values)}]).data
    return [cell.split(">", 1)[1].split("</td>")[0] for cell in shown.split("<td")[1:]]


def test_numbers_are_written_for_readers() -> None:
    assert cells_of(131_810_817, 19_148.4, 256, 0.012345) == [
        *("131,810,817", "19,148", "256", "0.01235"),
    ]


def test_what_is_not_there_is_left_empty_and_text_stays_text() -> None:
    assert cells_of(None, float("nan"), "<b>", True) == ["", "", "&lt;b&gt;", "True"]


def test_without_rows_the_table_says_so() -> None:
    assert "Counts: no rows." in show.table([], title="Counts").data
