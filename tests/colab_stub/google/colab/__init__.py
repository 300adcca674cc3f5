"""Stand-in for what Google Colab brings along, for tests without Colab.

Put `tests/colab_stub` on PYTHONPATH, so that `import google.colab` works. With COLAB_RELEASE_TAG in
the environment, as on Colab, it is imported when Python starts, so that the notebooks take
themselves to be on Colab.
"""

from google.colab import drive, files, output, userdata

__all__ = ["drive", "files", "output", "userdata"]
