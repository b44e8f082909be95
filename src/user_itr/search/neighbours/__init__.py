"""The embeddings nearest to a query, out of files that are derived from the store.

The store is the one truth. What answers fast is beside it: `snapshot.py` has the files, `scan.py`
compares every row, `graph.py` few of them; `search.py` keeps them in step with the store, which is
read as `rows.py` says.
"""
