"""Filters of guests' NICs in force, as nftables rules of the bridge family in one table of this engine's own.

What is in force is remembered here, read back after a restart, and put back when somebody flushes the ruleset.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from frontinus.api.errors import FrontinusError, HostFailed
from frontinus.filter import commands
from frontinus.filter.commands import FAMILY, Objects
from frontinus.filter.instance import BLOCKED, Filtered
from frontinus.filter.matches import Json
from frontinus.filter.ruleset import Abilities, Ruleset, compile_rules
from frontinus.linux.network.learning import Ear, Lessons
from frontinus.linux.network.nftables import Nftables, Watch, removed
from frontinus.ports.firewall import Heard

log = logging.getLogger(__name__)

LINK = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
"""Names of links that nftables takes for nothing else."""
MOST_FRAMES = 64
"""Of one guest that are looked at before others have their turn."""
PAUSE = 0.1
"""Seconds that a guest is not listened to after that many at once."""


class BridgeFilters:
    """`ports.Firewall` on nftables. `put_now` and `drop_now` block for milliseconds; threads may share it."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._nics: dict[str, Filtered] = {}
        self._rules: dict[str, Ruleset] = {}
        self._objects: dict[str, Objects] = {}
        self._holders: dict[str, str] = {}
        """Who put a filter on a link, where that is known: the kernel gives the name of a tap that is gone to the next."""
        self._ears: dict[str, Ear] = {}
        self._lock = threading.RLock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="filters")
        self._nft: Nftables | None = None
        self._ready = False
        self._watch: Watch | None = None
        self._abilities: Abilities | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._heard: Heard = lambda link, addresses: None

    # The port

    def listen(self, heard: Heard) -> None:
        self._loop, self._heard = asyncio.get_running_loop(), heard

    async def put(self, nics: Mapping[str, Filtered]) -> None:
        await self._in_thread(lambda: self._put(nics))

    async def drop(self, links: Iterable[str]) -> None:
        gone = list(links)
        await self._in_thread(lambda: self._drop(gone))

    async def restore(self, nics: Mapping[str, Filtered], keep: Iterable[str] = ()) -> None:
        kept = frozenset(keep)
        await self._in_thread(lambda: self._restore(nics, kept))

    async def close(self) -> None:
        with self._lock:
            for link in list(self._ears):
                self._stop_hearing(link)
            if self._watch is not None and self._loop is not None:
                self._loop.remove_reader(self._watch.fileno())
                self._watch.close()
                self._watch = None
        await asyncio.to_thread(self._thread.shutdown)
        with self._lock:
            if self._nft is not None:
                self._nft.close()
                self._nft = None

    async def _in_thread(self, work: Callable[[], None]) -> None:
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))

    # For a thread that sets up a tap

    def put_now(self, link: str, filtered: Filtered, holder: str) -> None:
        """Put a filter in force on a link that is not in use yet. What an earlier one of its name left is nothing to it."""
        with self._lock:
            self._drop([link])
            self._put({link: filtered})
            self._holders[link] = holder

    def drop_now(self, link: str, holder: str) -> None:
        """Take a filter away, unless the link is somebody else's by now."""
        with self._lock:
            if self._holders.get(link) in (None, holder):
                self._drop([link])

    # Behind both

    def _put(self, nics: Mapping[str, Filtered]) -> None:
        with self._lock:
            nft = self._prepared()
            rules = {link: self._compile(link, filtered) for link, filtered in nics.items()}
            said: list[Json] = []
            for link, ruleset in rules.items():
                old = self._objects.get(link, Objects())
                said += commands.put(self._table, ruleset, _left(nics[link].addresses), old)
            nft.apply(said)
            self._is_in_force(nics, rules)

    def _is_in_force(self, nics: Mapping[str, Filtered], rules: Mapping[str, Ruleset]) -> None:
        self._nics.update(nics)
        self._rules.update(rules)
        self._objects.update({link: Objects.of(ruleset) for link, ruleset in rules.items()})
        for link in nics:
            self._hear(link)

    def _compile(self, link: str, filtered: Filtered) -> Ruleset:
        if not LINK.fullmatch(link):
            raise HostFailed(f"'{link}' cannot be the name of a filtered link", what=link)
        made = compile_rules(filtered.instance, link, self._abilities or Abilities())
        for note in dict.fromkeys(made.notes):
            log.warning("filter %s on %s: %s", filtered.instance.filter, link, note)
        return made

    def _drop(self, links: Iterable[str]) -> None:
        with self._lock:
            gone = {link: self._objects.pop(link) for link in links if link in self._objects}
            for link in gone:
                self._nics.pop(link, None)
                self._rules.pop(link, None)
                self._holders.pop(link, None)
                self._stop_hearing(link)
            if not gone:
                return
            if not self._objects:
                self._nft_now().apply(removed(FAMILY, self._table))
                self._ready = False
                return
            said = [one for link, objects in gone.items() for one in commands.take(self._table, link, objects)]
            try:
                self._prepared().apply(said)
            except HostFailed:  # somebody else has taken some away: look again at all of it
                self._restore(dict(self._nics), frozenset())

    def _restore(self, nics: Mapping[str, Filtered], keep: frozenset[str]) -> None:
        """Look at what is there, and make it what it should be. `keep`: links whose rules stay; where there are none,
        nothing passes."""
        with self._lock:
            if not nics and not keep and not self._is_there():
                return
            self._ready = False
            nft = self._prepared()
            listing = [one for kind in ("chains", "sets", "maps") for one in nft.listed(kind)]
            there = commands.found(self._table, listing)
            rules, keep = self._compiled(nics, keep)
            blocked = {link: BLOCKED for link in keep if link not in there}
            rules |= {link: self._compile(link, filtered) for link, filtered in blocked.items()}
            wanted = {**{link: nics[link] for link in rules if link in nics}, **blocked}
            said: list[Json] = []
            for link, ruleset in rules.items():
                said += commands.put(self._table, ruleset, _left(wanted[link].addresses), there.get(link, Objects()))
            for link, objects in there.items():
                if link not in wanted and link not in keep:
                    said += commands.take(self._table, link, objects)
            nft.apply(said)
            self._objects = {link: there[link] for link in keep if link in there}
            self._nics, self._rules = {}, {}
            self._is_in_force(wanted, rules)
            for link in set(self._ears) - set(wanted):
                self._stop_hearing(link)
            if not self._objects:
                nft.apply(removed(FAMILY, self._table))
                self._ready = False

    def _compiled(
        self, nics: Mapping[str, Filtered], keep: frozenset[str]
    ) -> tuple[dict[str, Ruleset], frozenset[str]]:
        """The rules of NICs; one whose filter cannot be said keeps what it has."""
        rules: dict[str, Ruleset] = {}
        for link, filtered in nics.items():
            try:
                rules[link] = self._compile(link, filtered)
            except FrontinusError as error:
                log.error("the filter of %s cannot be put in force: %s", link, error.message)
                keep |= {link}
        return rules, keep

    def _is_there(self) -> bool:
        try:
            return (FAMILY, self._table) in self._nft_now().tables()
        except HostFailed:
            return False

    def _nft_now(self) -> Nftables:
        if self._nft is None:
            self._nft = Nftables()
        return self._nft

    def _prepared(self) -> Nftables:
        """nftables, with the table and its base chains in place."""
        nft = self._nft_now()
        if not self._ready:
            nft.apply(commands.base(self._table))
            self._ready = True
            self._abilities = self._abilities or self._probe(nft)
            self._begin_watch()
        return nft

    def _probe(self, nft: Nftables) -> Abilities:
        """Ask the kernel what it can do, with rules in a chain that nothing leads to."""
        try:
            nft.apply(commands.trial(self._table))
        except HostFailed:
            return Abilities(reject=False)
        return Abilities(reject=True)

    # Somebody else changes the rules

    def _begin_watch(self) -> None:
        if self._loop is not None and self._watch is None:
            self._watch = Watch()
            self._loop.call_soon_threadsafe(self._loop.add_reader, self._watch.fileno(), self._changed)

    def _changed(self) -> None:
        if self._watch is None or self._nft is None:
            return
        changes = self._watch.read()
        ours = (FAMILY, self._table)
        lost = changes is None or any(ours in one.lost and not self._nft.is_own(one) for one in changes)
        if lost and self._objects:
            log.warning("somebody took rules of %s away: they are put back", self._table)
            self._thread.submit(self._put_back)

    def _put_back(self) -> None:
        try:
            with self._lock:
                self._restore(dict(self._nics), frozenset(self._objects) - set(self._nics))
        except FrontinusError as error:
            log.error("the rules of %s cannot be put back: %s", self._table, error.message)

    # Addresses

    def _hear(self, link: str) -> None:
        """Listen to a NIC if there is something to learn, anew when its filter changed."""
        filtered = self._nics.get(link)
        self._stop_hearing(link)
        if filtered is None or self._loop is None:
            return
        instance = filtered.instance
        mac = bytes.fromhex(instance.mac.replace(":", ""))
        lessons = Lessons(instance.learning, mac, instance.servers, dict(filtered.addresses))
        if lessons.settled:
            return
        try:
            ear = Ear(link, lessons)
        except OSError as error:
            log.warning("the addresses of %s cannot be learned: %s", link, error.strerror)
            return
        self._ears[link] = ear
        self._loop.call_soon_threadsafe(self._open, link, ear)

    def _open(self, link: str, ear: Ear) -> None:
        if self._ears.get(link) is ear and self._loop is not None:
            self._loop.add_reader(ear.fileno(), self._listen_to, link, ear)

    def _stop_hearing(self, link: str) -> None:
        ear = self._ears.pop(link, None)
        if ear is not None and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._shut, ear)

    def _shut(self, ear: Ear) -> None:
        assert self._loop is not None
        self._loop.remove_reader(ear.fileno())
        ear.close()

    def _listen_to(self, link: str, ear: Ear) -> None:
        count, changed = ear.hear(MOST_FRAMES)
        assert self._loop is not None
        if count == MOST_FRAMES:
            self._loop.remove_reader(ear.fileno())
            self._loop.call_later(PAUSE, self._open, link, ear)
        if changed and self._ears.get(link) is ear:
            self._thread.submit(self._learned, link, ear)

    def _learned(self, link: str, ear: Ear) -> None:
        """Let the guest use what was learned, then tell."""
        with self._lock:
            filtered, ruleset = self._nics.get(link), self._rules.get(link)
            if self._ears.get(link) is not ear or filtered is None or ruleset is None:
                return
            addresses = dict(ear.lessons.addresses)
            try:
                self._prepared().apply(commands.addresses_of(self._table, ruleset, _left(addresses)))
            except HostFailed as error:
                log.error("%s: what was learned cannot be put in force: %s", link, error.message)
                return
            self._nics[link] = Filtered(filtered.instance, addresses)
            if ear.lessons.settled:
                self._stop_hearing(link)
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._heard, link, addresses)


def _left(addresses: Mapping[str, float | None]) -> dict[str, int | None]:
    """Seconds that are left of each address; without those that are over."""
    now = time.time()
    return {
        one: None if end is None else int(end - now) for one, end in addresses.items() if end is None or end >= now + 1
    }
