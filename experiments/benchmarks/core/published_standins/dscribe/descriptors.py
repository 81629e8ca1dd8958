"""Imported and never called."""


class SOAP:
    """A descriptor that the paper's configuration does not use."""
