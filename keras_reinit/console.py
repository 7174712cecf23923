"""Lines for whoever watches a run, who may have closed the window."""

import os
import sys


def say(line, file=None):
    """Prints a line at once; a run goes on where nobody can read it any more.

    Characters that the output cannot encode are escaped.

    Args:
        line: String.
        file: As of `print`.
    """
    file = sys.stdout if file is None else file
    try:
        encoding = getattr(file, "encoding", None) or "utf-8"
        line = line.encode(encoding, "backslashreplace").decode(encoding)
        print(line, file=file, flush=True)
    except BrokenPipeError:  # Such as that of `| head`.
        # Else Python would fail at its end, when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())
    except ValueError:  # A closed file.
        pass
