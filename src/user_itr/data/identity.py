"""Are two splits the same items in the same order?"""

from __future__ import annotations

import hashlib
import json

from user_itr.data.captions import CaptionedImages


def split_key(split: CaptionedImages) -> str:
    """SHA-256 of image ids and captions: equal for measurements that can be compared."""
    parts = [split.image_ids, split.captions, split.caption_image.tolist()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
