"""What keeps a node from starting."""


class CannotStartError(Exception):
    """Something that only an operator can mend; the message says what, and the way out."""
