"""Every figure of the series: one room per topic, each function returns a matplotlib Figure."""
