"""Keeping out who was erased."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from pulsebase.model.annotations import Annotation
from pulsebase.model.errors import ErasedUserError
from pulsebase.model.readings import Ids
from pulsebase.model.summaries import DailySummary
from pulsebase.model.users import DevicePriority, User
from pulsebase.stores.contract import Store
from pulsebase.stores.erasures import mark_of
from pulsebase.stores.metered import MeteredStore

_Mask = npt.NDArray[np.bool_]


class ErasedUsers:
    """The people for whom nothing is taken, by their marks. Any thread may ask; who is erased is known at once."""

    def __init__(self, key: bytes = b"", marks: Iterable[bytes] = ()) -> None:
        self._key = key
        self._marks = frozenset(marks)
        self._lock = threading.Lock()
        #: For each of the texts seen last whether it is one of theirs, and a no for what is no id.
        self._texts: Sequence[str] = ()
        self._flags: _Mask = np.zeros(1, np.bool_)

    def replace(self, marks: Iterable[bytes]) -> None:
        """From now on these and nobody else."""
        with self._lock:
            self._marks = frozenset(marks)
            self._texts, self._flags = (), np.zeros(1, np.bool_)

    def holds(self, user_id: str) -> bool:
        """Whether the person is one of them."""
        return bool(self._marks) and mark_of(self._key, user_id) in self._marks

    def among(self, users: Ids) -> _Mask | None:
        """Which rows of a column are theirs; None where no row is. Ids that came before cost no hash."""
        if not self._marks:
            return None
        with self._lock:
            if users.texts is not self._texts:
                self._texts, self._flags = users.texts, np.zeros(1, np.bool_)
            count = len(users.texts)
            fresh = [mark_of(self._key, text) in self._marks for text in users.texts[len(self._flags) - 1 : count]]
            if fresh:
                self._flags = np.concatenate([self._flags[:-1], np.array([*fresh, False], np.bool_)])
            mask: _Mask = self._flags[users.codes]
        return mask if mask.any() else None

    def refuse(self, user_ids: Iterable[str]) -> None:
        """Raises `ErasedUserError` if one of them is barred."""
        if self._marks and any(self.holds(user_id) for user_id in user_ids):
            raise ErasedUserError


class ErasedUsersStore(MeteredStore):
    """A metered store to which nobody comes back who was erased: what would make them known is refused.

    Readings are refused one by one where they are checked, in `ingest`.
    """

    def __init__(self, inner: Store, erased_users: ErasedUsers, slow_query_ms: float = 0) -> None:
        super().__init__(inner, slow_query_ms)
        self._erased_users = erased_users

    def put_user(self, user: User) -> None:
        """See `contract.Registry.put_user`."""
        self._erased_users.refuse([user.user_id])
        super().put_user(user)

    def put_users(self, users: Sequence[User]) -> None:
        """See `contract.Registry.put_users`."""
        self._erased_users.refuse(user.user_id for user in users)
        super().put_users(users)

    def put_priority(self, priority: DevicePriority) -> None:
        """See `contract.Registry.put_priority`."""
        self._erased_users.refuse([priority.user_id])
        super().put_priority(priority)

    def put_summaries(self, summaries: Sequence[DailySummary]) -> None:
        """See `contract.Registry.put_summaries`."""
        self._erased_users.refuse(summary.user_id for summary in summaries)
        super().put_summaries(summaries)

    def put_annotations(self, annotations: Sequence[Annotation]) -> None:
        """See `contract.Registry.put_annotations`."""
        self._erased_users.refuse(annotation.user_id for annotation in annotations)
        super().put_annotations(annotations)
