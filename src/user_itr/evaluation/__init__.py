"""From embeddings to ranks, metrics and a report; knows nothing of the model.

`ranks` finds the rank of the right candidate, `metrics` turns ranks into R@K, median and mean
rank and rsum, `report` prints and writes them. Definitions: docs/metrics.md.
"""
