"""What answers searches without PyTorch: exported models, computed by ONNX Runtime."""
