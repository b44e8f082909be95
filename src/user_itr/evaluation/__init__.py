"""From embeddings to ranks, metrics and a report; knows nothing of the model.

`evaluate` does it in one call, `RetrievalAccumulator` batch by batch. Below, `embedding_scores`
and `scores` say what can be ranked, `relevance` what is right; `ranks` and `cross_modal` find the
rank of the best right candidate, `positive_ranks` of every one; `metrics`, `precision` and
`protocols` make figures of ranks, `intervals` and `paired_tests` say how sure they are. `inputs`
reads what other people's code wrote, `exports` writes what it reads. Arrays need no torch.
Definitions: docs/metrics.md.
"""

from user_itr.evaluation.accumulator import RetrievalAccumulator
from user_itr.evaluation.api import Evaluation, evaluate

__all__ = ["Evaluation", "RetrievalAccumulator", "evaluate"]
