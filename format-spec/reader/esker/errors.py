"""What can go wrong, and the exit code that goes with it."""


class ReaderError(Exception):
    """The reader cannot do what it was asked to; nothing is said about the repository's health."""

    exit_code = 1


class WrongSecret(ReaderError):
    """No key object opens with this passphrase or recovery key."""


class TooNew(ReaderError):
    """A newer version wrote this object."""


class Damage(ReaderError):
    """Stored bytes are not what the format allows, or not those that were written."""

    exit_code = 3


class MissingEncoder(ReaderError):
    """A file needs an encoder that this reader does not have, or whose library is of another version."""
