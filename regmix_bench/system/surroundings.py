"""The environment of a command, made such that the libraries it uses can do with it."""

from __future__ import annotations

import getpass
import os
import sys
import tempfile
from pathlib import Path

from regmix_bench.system.children import forget_working_folder


def settle() -> None:
    """Prepare the environment of this process and of those that it starts.

    A stream that whoever started it has closed leads nowhere, as a file that is opened would take
    its place. Matplotlib and torch ask for a home and for a user's name, which a container may not
    have, and matplotlib refuses to be imported where ``MPLBACKEND`` names no backend.
    """
    _open_closed_streams()
    forget_working_folder()
    os.environ["MPLBACKEND"] = "agg"  # a command shows no window
    os.environ.setdefault("HOME", str(home_folder()))
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):
        os.environ["USER"] = f"user-{os.getuid()}"


def _open_closed_streams() -> None:
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:  # the lowest number that is free is this one
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            stream = open(os.devnull, "r" if name == "stdin" else "w")  # noqa: SIM115
            setattr(sys, name, stream)


def home_folder() -> Path:
    """Return the user's home; without one, a private folder among the temporary files."""
    try:
        return Path.home()
    except RuntimeError:  # neither HOME nor an entry among the users
        folder = Path(tempfile.gettempdir()) / f"home-of-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        ours = folder.is_dir() and not folder.is_symlink()
        if ours and found.st_uid == os.getuid() and not found.st_mode & 0o077:
            return folder
        return Path(tempfile.mkdtemp(prefix="home-"))  # somebody else was there first
