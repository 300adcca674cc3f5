"""Stand-in for google.colab.userdata: there are no secrets."""


class SecretNotFoundError(Exception):
    def __init__(self, key):
        super().__init__(f"Secret {key} does not exist.")


class NotebookAccessError(Exception):
    pass


class TimeoutException(Exception):  # noqa: N818 (Colab's name)
    pass


def get(key):
    raise SecretNotFoundError(key)
