"""The embedded corpus: a fictional archipelago of talking islanders whose truth is known."""
