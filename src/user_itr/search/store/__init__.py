"""Where an index keeps its photos: contents with embeddings, and files that hold them.

`base.py` is the interface. `sqlite.py` keeps an index in a folder (one SQLite file, the truth),
`lance.py` one on object storage (LanceDB, extra `s3`). One suite of tests runs on both.
"""
