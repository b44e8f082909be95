"""Photos decoded ahead of the encoder, by worker processes or threads."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from user_itr.data.webdataset import ArchiveMember
from user_itr.errors import DataError, UnreadableError
from user_itr.search.encoder import Encoder
from user_itr.search.photos import Photo, Skipped, load_photo, path_of

CRASHED = "its decoder crashed; the file is damaged or needs too much memory."
_Source = Path | ArchiveMember
_Load = Callable[[_Source], Photo]


def decode_ahead(
    photos: Iterable[Path | ArchiveMember],
    encoder: Encoder,
    batch_size: int,
    workers: int,
    *,
    processes: bool = False,
    unreadable: set[Path] | None = None,
) -> Generator[tuple[list[Photo], list[Skipped]], None, None]:
    """Decode photos with `workers` helpers, at most two batches ahead of the consumer.

    Args:
        photos: files, or places in tars.
        encoder: whose preprocessing is applied.
        batch_size: photos a yielded batch.
        workers: how many decode at once.
        processes: in processes of their own, so that a decoder that crashes costs one photo and
            not the run. They import the main module anew, which a script must allow for with
            `if __name__ == "__main__":`. Threads otherwise, and where the encoder's preprocessing
            cannot leave this process.
        unreadable: takes those of the skipped files whose bytes could not be read at all.

    Yields:
        For each `batch_size` photos, in order: the decoded ones and the skipped files.
    """
    waiting = iter(photos)
    first = next(waiting, None)
    if first is None:
        return
    waiting = itertools.chain([first], waiting)
    unread = set() if unreadable is None else unreadable
    elsewhere = encoder.worker_preprocess if processes else None
    load = partial(load_photo, preprocess=elsewhere or encoder.preprocess, draft=encoder.draft)
    new_pool = _threads if elsewhere is None else _processes
    ahead: deque[tuple[_Source, Future[Photo]]] = deque()
    with warnings.catch_warnings():  # load_image's own catch_warnings may interleave over threads
        pool = new_pool(workers)
        try:
            while True:
                for photo in itertools.islice(waiting, 2 * batch_size - len(ahead)):
                    ahead.append((photo, _submit(pool, load, photo)))
                if not ahead:
                    return
                batch = [ahead.popleft() for _ in range(min(batch_size, len(ahead)))]
                decoded, skipped, unknown = _results(batch, unread)
                if unknown:  # a worker died, and with it everything that was under way
                    pool.shutdown(cancel_futures=True)
                    one_by_one = _alone(unknown, load, unread)
                    decoded, skipped = decoded + one_by_one[0], skipped + one_by_one[1]
                    pool = new_pool(workers)
                    ahead = deque((photo, _submit(pool, load, photo)) for photo, _ in ahead)
                yield decoded, skipped
        finally:
            pool.shutdown(cancel_futures=True)


def _results(
    batch: Sequence[tuple[_Source, Future[Photo]]], unreadable: set[Path]
) -> tuple[list[Photo], list[Skipped], list[_Source]]:
    """Photos, skipped files, and the files that a dead worker leaves unknown."""
    photos: list[Photo] = []
    skipped: list[Skipped] = []
    unknown: list[_Source] = []
    for source, future in batch:
        try:
            photos.append(future.result())
        except DataError as error:
            path = path_of(source)
            skipped.append((path, str(error).removeprefix(f"{path}: ")))
            if isinstance(error, UnreadableError):
                unreadable.add(path)
        except BrokenExecutor:
            unknown.append(source)
    return photos, skipped, unknown


def _alone(
    sources: Sequence[_Source], load: _Load, unreadable: set[Path]
) -> tuple[list[Photo], list[Skipped]]:
    """Decode one at a time, so that the one that kills its worker is known."""
    photos: list[Photo] = []
    skipped: list[Skipped] = []
    pool = _processes(1)
    try:
        for source in sources:
            result = [(source, _submit(pool, load, source))]
            one, left_out, crashed = _results(result, unreadable)
            photos += one
            skipped += left_out
            if crashed:
                skipped.append((path_of(source), CRASHED))
                pool.shutdown()
                pool = _processes(1)
    finally:
        pool.shutdown()
    return photos, skipped


def _submit(pool: Executor, load: _Load, source: _Source) -> Future[Photo]:
    try:
        with _signals_put_off():
            return pool.submit(load, source)
    except BrokenExecutor as error:  # as the future of one that was accepted would say
        broken: Future[Photo] = Future()
        broken.set_exception(error)
        return broken


def _threads(workers: int) -> Executor:
    return ThreadPoolExecutor(workers, thread_name_prefix="decode")


def _processes(workers: int) -> Executor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)


@contextmanager
def _signals_put_off() -> Iterator[None]:
    """Block SIGINT, as a worker that is started here then does from its first moment on.

    A terminal sends it to all of them, and one that is still importing would show a traceback. So
    would one whose start is broken off, and another thread may take the signal: it is kept for the
    end. So is SIGTERM, where this process has a handler for it; workers are ended by it.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    came: list[int] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if handler is not None and (number == signal.SIGINT or callable(handler)):
                handlers[number] = handler
                signal.signal(number, lambda number, _: came.append(number))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for taken in came:
            signal.raise_signal(taken)


def _begin_worker() -> None:
    """Leave Ctrl-C to the main process, and end when it is gone, however it went."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
