"""Stand-in for google.colab.output: the browser answers with COLAB_STUB_ANSWER."""

import os

evaluated: list[str] = []


def eval_js(script, ignore_result=False, timeout_sec=None):
    evaluated.append(script)
    return None if ignore_result else os.environ.get("COLAB_STUB_ANSWER", "")


def clear(wait=False, output_tags=()):
    pass


def enable_custom_widget_manager():
    pass
