"""The photos nearest to a query, out of files that are derived from the table.

LanceDB's table is the one truth. What answers fast is beside it: `snapshot.py` has the files,
`scan.py` compares every row, `graph.py` few of them; `search.py` keeps them in step with the table,
which `rows.py` reads.
"""
