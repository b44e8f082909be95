"""The USER network: image branch, text branch, and the embedder that `load` returns.

Each module is importable alone: `model.enhancement` (SGE), `model.projection`, `model.pooling`
(GPO), `model.image_encoder`, `model.text_encoder`, `model.dual_encoder`.
"""
