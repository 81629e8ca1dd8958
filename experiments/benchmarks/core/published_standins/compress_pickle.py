"""Imported and never called."""


def dumps(*_: object) -> None:
    """Refuse: features are not cached here."""
    raise NotImplementedError("dumps")


loads = dumps
