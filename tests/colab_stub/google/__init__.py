"""Stand-in for the namespace `google`: leaves google.protobuf and the others where they are."""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
