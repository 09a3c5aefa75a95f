"""What was used last, bounded by weight; made by one thread while the others wait for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Event, Lock
from typing import Generic, TypeVar

Item = TypeVar("Item")


def _one(_item: object) -> int:
    return 1


class Lru(Generic[Item]):
    """Items by name, at most ``capacity`` by weight; who was not asked for longest goes first."""

    def __init__(self, capacity: int, weigh: Callable[[Item], int] = _one) -> None:
        self._capacity = capacity
        self._weigh = weigh
        self._weight = 0
        self._items: OrderedDict[Hashable, Item] = OrderedDict()
        self._making: dict[Hashable, Event] = {}
        self._lock = Lock()

    @property
    def weight(self) -> int:
        """What is kept weighs, never more than the capacity."""
        return self._weight

    def get(self, name: Hashable) -> Item | None:
        """Return an item, or None."""
        with self._lock:
            return self._find(name)

    def put(self, name: Hashable, item: Item) -> None:
        """Keep an item; one that is heavier than everything may be, is not kept."""
        weight = self._weigh(item)
        with self._lock:
            self._remove(name)
            if weight > self._capacity:
                return
            self._items[name] = item
            self._weight += weight
            while self._weight > self._capacity:
                self._remove(next(iter(self._items)))

    def drop(self, name: Hashable) -> None:
        """Let go of one item, if it is kept."""
        with self._lock:
            self._remove(name)

    def obtain(self, name: Hashable, make: Callable[[], tuple[Item, bool]]) -> Item:
        """Return an item, made when there is none; ``make`` also says whether to keep it.

        Of several threads one makes it and the others wait; what it raises is raised to it alone,
        and the next one tries.
        """
        while (found := self._claim(name)) is not None:
            if not isinstance(found, Event):
                return found
            found.wait()
        try:
            item, keep = make()
            if keep:
                self.put(name, item)
            return item
        finally:
            with self._lock:
                made = self._making.pop(name)
            made.set()

    def forget(self, which: Callable[[Hashable], bool] = lambda _name: True) -> None:
        """Let go of all items, or of those whose name ``which`` picks."""
        with self._lock:
            for name in [name for name in self._items if which(name)]:
                self._remove(name)

    def _claim(self, name: Hashable) -> Item | Event | None:
        """Return the item, what to wait for, or None to whom it falls to make it."""
        with self._lock:
            found = self._find(name)
            if found is not None:
                return found
            if name in self._making:
                return self._making[name]
            self._making[name] = Event()
            return None

    def _find(self, name: Hashable) -> Item | None:
        if name in self._items:
            self._items.move_to_end(name)
        return self._items.get(name)

    def _remove(self, name: Hashable) -> None:
        item = self._items.pop(name, None)
        if item is not None:
            self._weight -= self._weigh(item)
