"""The `onnx` backend: the same model as an ONNX graph, run by onnxruntime here or by anything that reads ONNX."""
