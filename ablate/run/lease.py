"""One driver at a time per study and store: a note that its holder renews, and that others may take once it is stale.

The note only keeps two drivers from doing the same work: what a trial writes is guarded by its attempt number, so that
even two drivers at once (clocks that jump, a machine that slept) could spoil nothing.
"""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from ablate.errors import AblateError, ExitCode, StoreError
from ablate.store import Store
from ablate.store.medium import Location, is_url
from ablate.store.notes import create_note, read_note, remove_note, write_note

RENEW_S = 5.0
EXPIRE_S = 30.0
_SETTLE_S = 0.5
"""Who takes over looks again after this time: of several that did at once, the last one holds it."""
_NUM_TRIES = 3
_log = logging.getLogger(__name__)


class LeaseHeldError(AblateError):
    """Another driver is at work on the study."""

    exit_code = ExitCode.WRONG_INPUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who drives a study.

    Args:
        host: Name of the machine.
        pid: The driver's process.
        process_began: Mark of when that process began, so that another one with its number is told apart.
        machine: Changes with every start of the machine, and tells containers apart.
        token: Differs for every lease.
        since: Start of the lease, ISO 8601 in UTC.
        renewed_s: Last sign of life, seconds since 1970 by the holder's clock.
    """

    host: str
    pid: int
    process_began: str
    machine: str
    token: str
    since: str
    renewed_s: float

    @property
    def is_of_this_machine(self) -> bool:
        """Whether its process could be seen from here."""
        return self.machine == _machine()

    def is_gone(self) -> bool:
        """Say whether the holder is known to be dead."""
        return self.is_of_this_machine and _process_began(self.pid) != self.process_began

    def age_s(self, now_s: float) -> float:
        """Give the time since the last sign of life; below zero where the clocks differ."""
        return now_s - self.renewed_s


class Lease:
    """The right to drive a study, held while the block runs.

    Args:
        store: Where the study's trials are.
        study: Its name.
        renew_s: Time between two signs of life.
        expire_s: Time without any after which others may take over.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        study: str,
        *,
        renew_s: float = RENEW_S,
        expire_s: float = EXPIRE_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._location, self._study = store.location, study
        self._renew_s, self._expire_s, self._clock = renew_s, expire_s, clock
        self._own = _new_holder(clock())
        self._lost_to: Holder | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> Self:
        """Take the lease.

        Raises:
            LeaseHeldError: Another driver has it.
            StoreError: The store cannot be written.
        """
        self._acquire()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lease back; where that fails it expires by itself."""
        self._ending.set()
        self._thread.join()
        try:
            found = read_holder(self._location, self._study)
            if found is not None and found.token == self._own.token:
                remove_note(self._location, _name(self._study))
        except StoreError as fault:
            _log.warning("%s", fault)

    def is_lost(self) -> bool:
        """Say whether another driver has taken over: then this one should stop."""
        return self._lost_to is not None

    def _acquire(self) -> None:
        for _ in range(_NUM_TRIES):
            found = read_holder(self._location, self._study)
            is_created = found is None and create_note(self._location, _name(self._study), asdict(self._renewed()))
            if is_created and not is_url(self._location):
                return  # only one can have made the file
            if not is_created:
                found = found or read_holder(self._location, self._study)
                if found is not None and not self._is_stale(found):
                    raise LeaseHeldError(_refusal(self._study, found, found.age_s(self._clock()), self._expire_s))
                write_note(self._location, _name(self._study), asdict(self._renewed()))
            time.sleep(_SETTLE_S)
            found = read_holder(self._location, self._study)
            if found is not None and found.token == self._own.token:
                return
        raise LeaseHeldError(f"study {self._study}: several drivers started at once: start one of them again")

    def _is_stale(self, holder: Holder) -> bool:
        """Say whether a lease may be taken: its process is gone, or nothing was heard of it for long.

        Where the clock is another machine's it may differ from ours, so that the holder gets the time of two signs
        of life to be heard.
        """
        if holder.is_gone():
            return True
        if -self._renew_s <= holder.age_s(self._clock()) <= self._expire_s:
            return False
        if holder.is_of_this_machine:
            return True
        until_s = time.monotonic() + 2 * self._renew_s
        while time.monotonic() < until_s:
            time.sleep(self._renew_s / 10)
            if read_holder(self._location, self._study) != holder:
                return False
        return True

    def _keep(self) -> None:
        """Renew until the end, or until the lease is found to be another's."""
        has_failed = False
        while not self._ending.wait(self._renew_s):
            try:
                found = read_holder(self._location, self._study)
                if found is not None and found.token != self._own.token:
                    self._lost_to = found
                    _log.warning("%s", self._loss(found))
                    return
                write_note(self._location, _name(self._study), asdict(self._renewed()))
                has_failed = False
            except StoreError as error:
                if not has_failed:
                    _log.warning("the lease could not be renewed, and is tried again: %s", error)
                has_failed = True

    def _loss(self, holder: Holder) -> str:
        return (
            f"study {self._study}: another driver has taken over (host {holder.host}, pid {holder.pid}), because "
            f"nothing was heard of this one for {self._expire_s:.0f} s: this one stops"
        )

    def _renewed(self) -> Holder:
        self._own = replace(self._own, renewed_s=self._clock())
        return self._own


def read_holder(location: Location, study: str) -> Holder | None:
    """Give who holds the lease of a study, whether or not it is stale; `None` where nobody does.

    A note that a crash of the machine tore is nobody's.
    """
    try:
        content = read_note(location, _name(study))
        return None if content is None else Holder(**content)
    except (StoreError, TypeError):
        return None


def working_driver(location: Location, study: str) -> Holder | None:
    """Give the driver that is at work on a study, as far as can be seen at once."""
    holder = read_holder(location, study)
    is_at_work = holder is not None and not holder.is_gone() and holder.age_s(time.time()) <= EXPIRE_S
    return holder if is_at_work else None


def check_no_driver(store: Store, study: str) -> None:
    """Refuse early what `Lease` would refuse, before anything is started for the run.

    Raises:
        LeaseHeldError: Another driver is at work.
    """
    holder = working_driver(store.location, study)
    if holder is not None and holder.age_s(time.time()) >= -RENEW_S:
        raise LeaseHeldError(_refusal(study, holder, holder.age_s(time.time()), EXPIRE_S))


def driver_line(holder: Holder) -> str:
    """Say for people who is at work."""
    return _words(holder, max(0.0, holder.age_s(time.time())))


def _refusal(study: str, holder: Holder, age_s: float, expire_s: float) -> str:
    stop = f"stop it with `kill -TERM {holder.pid}`{'' if holder.is_of_this_machine else f' on {holder.host}'}"
    left_s = max(1.0, expire_s - max(0.0, age_s))
    return (
        f"study {study}: {_words(holder, max(0.0, age_s))}. Wait for it, or {stop} (it saves its state); "
        f"if it is gone, the same command takes over in {left_s:.0f} s"
    )


def _words(holder: Holder, age_s: float) -> str:
    since = holder.since[:19].replace("T", " ")
    return (
        f"a driver is at work: host {holder.host}, pid {holder.pid}, since {since} UTC, "
        f"its last sign of life {age_s:.0f} s ago"
    )


def _name(study: str) -> str:
    return f"studies/{study}/driver.json"


def _new_holder(now_s: float) -> Holder:
    return Holder(
        host=socket.gethostname(),
        pid=os.getpid(),
        process_began=_process_began(os.getpid()) or "",
        machine=_machine(),
        token=secrets.token_hex(8),
        since=datetime.fromtimestamp(now_s, UTC).isoformat(),
        renewed_s=now_s,
    )


def _machine() -> str:
    """Name this start of this machine and its space of process numbers, where the system tells."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        import psutil

        return f"{socket.gethostname()} {psutil.boot_time():.0f}"


def _process_began(pid: int) -> str | None:
    """Give a mark of when a process began, or `None` where there is none or only its remains."""
    try:
        # Ticks since the machine's start: no change of the clock moves them. The name before may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    except OSError:
        import psutil

        is_linux = Path("/proc/self/stat").exists()
        return "" if not is_linux and psutil.pid_exists(pid) else None
