"""A request that the page does not answer, with the reason."""


class Refused(Exception):
    """status: the HTTP status of the reply. sentence: its text, one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
