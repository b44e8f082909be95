"""Embeddings of large collections in shards, by processes of this machine or by a cluster.

`encoding.encode_collection` makes a folder of them; `collection.EmbeddingCollection` opens one.
"""
