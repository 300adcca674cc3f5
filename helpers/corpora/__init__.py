"""The corpora: one room for each says how its published lists and rules become rows."""
