"""Tests of the web demo in a real browser; a package, so that it has a conftest of its own."""
