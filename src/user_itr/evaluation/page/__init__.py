"""An evaluation as one self-contained page to look at: no network, no other file."""

from user_itr.evaluation.page.build import write_page

__all__ = ["write_page"]
