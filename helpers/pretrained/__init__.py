"""The released weights, how they were made, and what they reach."""

from pathlib import Path

FOLDER = Path(__file__).parent
VOICE_ENCODER = FOLDER / "voice_encoder.keras"
FACE_DECODER = FOLDER / "face_decoder.keras"
FACE_NETWORK = FOLDER / "face_network.keras"
ISLANDER_FEATURES = FOLDER / "islander_features.parquet"
"""Features of islanders whose sex and age are known; the released attribute reader is fitted on
those that are not test islanders."""
DRAWN_AGES = FOLDER / "drawn_ages.json"
"""The line from how old the decoder's faces look to how old they are meant."""
