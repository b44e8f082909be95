"""Bringing an index up to date with folders of photos.

A run walks a folder (`search.walk`), compares file states with those in the index (`comparing`),
points files whose contents are known at them (`placing`), lets go what is gone and nothing else
(`leaving`), and encodes the rest (`encoding`).
"""

from user_itr.search.update.forgetting import forget
from user_itr.search.update.report import IndexReport, Kept
from user_itr.search.update.run import Update, UpdateOptions

__all__ = ["IndexReport", "Kept", "Update", "UpdateOptions", "forget"]
