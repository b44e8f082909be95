"""Indexing a folder of photos and searching it by words or by a photo.

`index` keeps the photos' embeddings (`ImageIndex`), `query` searches them; `photos` finds and
decodes files, `update` compares them with the index, `table` and `manifest` store it.
"""
