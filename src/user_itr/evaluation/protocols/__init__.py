"""Ground truths beyond the captions written for an image, one file a published protocol.

`cxc`: Crisscrossed Captions. `eccv`: ECCV Caption. `plausible`: PMRP, matches by object labels.
"""
