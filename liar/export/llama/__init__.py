"""Formats of what computes as a LLaMA: GGUF of llama.cpp, and the config of vLLM whose layers differ in width."""
