"""The toy family for the tests of this folder."""

from support.toy_training import toy as toy  # noqa: PLC0414
