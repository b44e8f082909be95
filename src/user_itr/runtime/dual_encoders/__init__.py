"""Published dual encoders as they are, CLIP and SigLIP for instance, computed by ONNX Runtime.

Their folders are laid out as transformers, Optimum and transformers.js write them.
"""
