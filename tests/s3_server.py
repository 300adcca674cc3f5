"""An object store for tests: moto's S3 server on this machine, with one empty bucket."""

from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import Iterator

import pytest

from helpers.storage import remote

BUCKET = "voices"


@contextlib.contextmanager
def running() -> Iterator[dict[str, str]]:
    """Starts the server and makes the bucket; skips where moto or s3fs is not installed.

    Yields:
        The environment variables by which any process finds the server. They are set here, too.
    """
    moto_server = pytest.importorskip("moto.server", reason="pip install 'moto[s3,server]'")
    s3fs = pytest.importorskip("s3fs", reason="pip install s3fs")
    server = moto_server.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.get_host_and_port()[1]}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
    # Servers of one process share their buckets.
    urllib.request.urlopen(
        urllib.request.Request(f"{environment['AWS_ENDPOINT_URL']}/moto-api/reset", method="POST")
    ).close()
    # Both remember the server that they spoke to first, which may be another test's.
    forgetful = (s3fs.S3FileSystem.clear_instance_cache, remote._system.cache_clear)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        for forget in forgetful:
            forget()
        s3fs.S3FileSystem().mkdir(BUCKET)
        yield environment
    server.stop()
    for forget in forgetful:
        forget()
