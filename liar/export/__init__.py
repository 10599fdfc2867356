"""A model for other runtimes, compared with torch when it is written: ONNX, OpenVINO, GGUF, vLLM."""
