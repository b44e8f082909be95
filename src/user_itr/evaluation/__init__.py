"""From embeddings to ranks, metrics and a report; knows nothing of the model.

`embedding_scores` and `scores` say what can be ranked, `relevance` what is right; `ranks` and
`cross_modal` find the rank of the best right candidate, `positive_ranks` of every one; `metrics`,
`precision` and `protocols` make figures of ranks, `intervals` and `paired_tests` say how sure they
are. Definitions: docs/metrics.md.
"""
