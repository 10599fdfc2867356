"""A model for other runtimes: ONNX, OpenVINO and GGUF, each compared with torch when it is written."""
