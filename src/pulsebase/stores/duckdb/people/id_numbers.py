"""Dense numbers for the ids of people and devices: given here, kept by the journal, stored by merges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from pulsebase.model.readings import Ids

_NO_NUMBER = -1
#: Takes the place of an id that was forgotten. No id is empty.
FORGOTTEN = ""


class IdNumbers:
    """Ids and their numbers, in both directions; numbers start at 0 and are dense.

    One thread at a time gives numbers, and then publishes them, once they are durable, or withdraws them. Any thread
    may look up published ones at any time.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts: list[str] = list(texts)
        self._numbers: dict[str, int] = {text: number for number, text in enumerate(self._texts) if text != FORGOTTEN}
        self._published = len(self._texts)
        #: The list of texts of the column numbered last, and the number of each text as far as known.
        self._coded_texts: Sequence[str] = ()
        self._number_of_code = np.empty(0, np.int32)
        #: How many of the first numbers the database already knows.
        self.persisted = self._published

    def __len__(self) -> int:
        return self._published

    def find(self, text: str) -> int | None:
        """Return the number of a published text, or None."""
        number = self._numbers.get(text)
        return number if number is not None and number < self._published else None

    def number(self, text: str) -> int:
        """Return the number of a text; give one to a new text."""
        number = self._numbers.get(text)
        if number is None:
            number = len(self._texts)
            self._texts.append(text)
            self._numbers[text] = number
        return number

    def numbers(self, ids: Ids) -> npt.NDArray[np.int32]:
        """Return the numbers of a column of ids; give numbers to new texts.

        Successive columns that share a list of texts need no lookup by text.
        """
        if ids.texts is not self._coded_texts:
            self._coded_texts, self._number_of_code = ids.texts, np.empty(0, np.int32)
        grown = len(ids.texts) - len(self._number_of_code)
        if grown > 0:
            self._number_of_code = np.append(self._number_of_code, np.full(grown, _NO_NUMBER, np.int32))
        numbers = self._number_of_code.take(ids.codes)
        if numbers.min(initial=0) == _NO_NUMBER:
            for code in np.unique(ids.codes[numbers == _NO_NUMBER]).tolist():
                self._number_of_code[code] = self.number(ids.texts[code])
            numbers = self._number_of_code.take(ids.codes)
        return numbers

    def new(self) -> list[tuple[int, str]]:
        """Return the numbers given since the last publication, with their texts."""
        return list(enumerate(self._texts[self._published :], self._published))

    def publish(self) -> None:
        """Make the numbers that were given visible to everybody, since they are durable."""
        self._published = len(self._texts)

    def withdraw(self) -> None:
        """Undo what was given since the last publication."""
        for _, text in self.new():
            del self._numbers[text]
        del self._texts[self._published :]
        self._forget_codes()

    def restore(self, number: int, text: str) -> bool:
        """Restore a number from the journal. Numbers arrive in order; one that is known already stays as it is.

        Returns False for a number out of turn, or one that stands for another text.
        """
        known = self._numbers.get(text)
        if known is None and number == len(self._texts):
            self.number(text)
            self.publish()
            return True
        return known == number

    def is_persisted(self, text: str) -> bool:
        """Whether the database knows the text."""
        number = self._numbers.get(text)
        return number is not None and number < self.persisted

    def follow(self, stored: Sequence[str]) -> None:
        """Take over the ids that the database holds, by number; it may or may not have the last change."""
        self.withdraw()
        known = len(self._texts)
        for number, text in enumerate(stored[:known]):
            if text == FORGOTTEN != self._texts[number]:
                self.forget(number)
        self._texts += stored[known:]
        self._numbers |= {text: number for number, text in enumerate(stored[known:], known) if text != FORGOTTEN}
        self.publish()
        self.persisted = len(stored)

    def forget(self, number: int) -> None:
        """Forget the text of a published number. It is never given again; the text would get a new one."""
        del self._numbers[self._texts[number]]
        self._texts[number] = FORGOTTEN
        self._forget_codes()

    def text(self, number: int) -> str:
        """Return the text of a number; `FORGOTTEN` if it was forgotten."""
        return self._texts[number]

    def _forget_codes(self) -> None:
        self._coded_texts, self._number_of_code = (), np.empty(0, np.int32)

    def unpersisted(self) -> list[tuple[int, str]]:
        """Return the published numbers that the database does not have yet, with their texts."""
        return list(enumerate(self._texts[self.persisted : self._published], self.persisted))
