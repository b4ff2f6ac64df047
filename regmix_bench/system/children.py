"""Processes that this one starts: what they find on their path, and that they end with it."""

from __future__ import annotations

import os
import sys
import threading
import time

#: Between two looks at whether the parent is still there.
_SECONDS = 0.2


def shelter_children() -> None:
    """Keep processes that are started from now on from finding modules in the working folder.

    Python puts it in front of their path, as ``-c`` and ``-m`` do, and so would run a ``random.py``
    that lies there. What they get is the path of this process. To be called before they are
    started.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if not all(map(_elsewhere, given)):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(_elsewhere, given))


def forget_working_folder() -> None:
    """Take the working folder off the path of this process and of those that it starts.

    It stays where it was named in full, or is installed, as a source tree may be.
    """
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    shelter_children()
    try:
        here = os.getcwd()
    except OSError:  # it has been removed, and nothing is found in it
        here = ""
    library = os.path.dirname(os.__file__)
    # What stands behind the standard library is installed.
    first = sys.path.index(library) if library in sys.path else 0
    unwanted = ("",) if here in given else ("", here)
    sys.path[:first] = [entry for entry in sys.path[:first] if entry not in unwanted]


def end_with_parent(parent: int) -> None:
    """End this process soon after ``parent``, which has started it, however that ends."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _elsewhere(entry: str) -> bool:
    """Return whether an entry of PYTHONPATH is not the working folder by a relative name."""
    return os.path.isabs(entry) or os.path.normpath(entry or ".") != "."
