"""The measures of notebook 07: each room is named after what it measures."""
