"""Makes Python start as on Colab, where `google.colab` is imported before the first cell."""

import os
from pathlib import Path

if "COLAB_RELEASE_TAG" in os.environ:
    import google

    here = str(Path(__file__).parent / "google")
    if here not in google.__path__:  # A .pth file of an old package came first.
        google.__path__ = [here, *google.__path__]
    import google.colab
