"""The one exception family of user-itr.

Every error that a user can cause is a `UserItrError` whose message is one clear sentence: what is
wrong, where (file, line, field), the value received and the remedy. The command line catches the
family once, prints the sentence and exits with `exit_code`; a traceback is a defect of ours.
"""

from __future__ import annotations


class UserItrError(Exception):
    """Base of every error that names a mistake in input, files or settings."""

    exit_code = 2


class ConfigError(UserItrError):
    """A setting is unknown, has a bad value, or contradicts another one."""


class DataError(UserItrError):
    """A captioned data set or an image cannot be read as it stands."""


class UnreadableError(DataError):
    """A file is there, or was, and its bytes cannot be read: nothing is known of what it holds."""


class FeatureError(UserItrError):
    """A feature store is missing, incomplete, or made by other settings than those asked for."""


class CheckpointError(UserItrError):
    """A checkpoint cannot be loaded: missing parts, another format version, a wrong hash."""


class IndexStoreError(UserItrError):
    """A search index cannot be opened or was made by another model."""


class IndexBusyError(IndexStoreError):
    """Another process is writing to the search index; it can be tried again later."""


class CollectionError(UserItrError):
    """A folder of bulk embeddings cannot be opened, begun or continued."""


class DownloadError(UserItrError):
    """A model cannot be fetched from the Hugging Face hub, or is not what was fetched before."""


class MissingExtraError(UserItrError):
    """An optional dependency is needed; the message gives the `pip install` line."""
