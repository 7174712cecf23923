"""Folders for results: checked before a run, held by one run, and written whole."""

import contextlib
import errno
import os
import pathlib
import re
import tempfile
import threading

fcntl = None
with contextlib.suppress(ImportError):  # Not on Windows.
    import fcntl

LOCK = ".lock"
# What pages say of who made them.
MARK = "made by keras_reinit"
# Folders that this process holds: a path to the thread, and how often it entered.
_held = {}


def writable_folder(path, argument="output"):
    """Makes a folder for results, which an argument names.

    Raises:
        ValueError: If it is no local folder that can be written to.
    """
    if re.match(r"[A-Za-z][\w+.-]*://", str(path)):
        raise ValueError(
            f"`{argument}` must be a local folder. Received: {argument}={str(path)!r}"
        )
    folder = pathlib.Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # Of a name that nobody has.
    except OSError as error:
        raise ValueError(
            f"`{argument}` must be a folder that can be written to. Received: "
            f"{argument}={str(path)!r} ({error})"
        ) from error
    return folder


def write_whole(path, content):
    """Writes a file that is whole or, after an error, as it was before.

    Args:
        path: Path.
        content: String or bytes.
    """
    path = pathlib.Path(path)
    if isinstance(content, str):  # Names of files need not be UTF-8.
        content = content.encode("utf-8", "backslashreplace")
    handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(aside, 0o666 & ~_umask())
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise


def check_ours(*paths):
    """A `ValueError` for a page that is there and was not written by `write_page`."""
    for path in map(pathlib.Path, paths):
        if path.exists() and MARK.encode() not in path.read_bytes()[:500]:
            raise ValueError(
                "`output` must be a folder without a page of your own by that name, "
                f"which would be lost. Received: {path}"
            )


def write_page(path, text):
    """Writes a Markdown or HTML page that says who made it, whole or not at all.

    Raises:
        ValueError: If there is a page of the same name that somebody else made.
    """
    check_ours(path)
    if MARK not in text:
        text = f"<!-- {MARK} -->\n\n{text}"
    write_whole(path, text)


@contextlib.contextmanager
def held(folder, argument="output"):
    """Holds a folder for one run; the operating system lets go of it at any end.

    The same thread may enter again. `argument` names the folder in the error.

    Raises:
        ValueError: If another run holds it.
    """
    folder, thread = os.path.realpath(folder), threading.get_ident()
    owner, count = _held.get(folder, (thread, 0))
    with contextlib.ExitStack() as stack:
        if count == 0:
            file = stack.enter_context(open(os.path.join(folder, LOCK), "a"))
        if owner != thread or (count == 0 and not _lock(file)):
            raise ValueError(
                f"`{argument}` must be a folder in which no other search or study is "
                f"running. Received: {argument}={folder!r}"
            )
        _held[folder] = thread, count + 1
        try:
            yield
        finally:
            _held[folder] = thread, count
            if count == 0:
                del _held[folder]


def _lock(file):
    """Whether nobody else has a lock on a file, or locks are not known here."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
