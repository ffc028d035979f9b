"""Temporary folders that are kept when something failed."""

import contextlib
import shutil
import sys
import tempfile


@contextlib.contextmanager
def temporary_folder(name):
    """A new folder, removed at the end unless the block raised or exited with an error; then its path is printed."""
    folder = tempfile.mkdtemp(prefix=f"whimbrel-{name}-")
    try:
        yield folder
    except BaseException as error:
        if isinstance(error, SystemExit) and error.code in (0, None):
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"kept for a look: {folder}", file=sys.stderr)
        raise
    shutil.rmtree(folder, ignore_errors=True)
