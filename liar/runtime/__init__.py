"""The machine under a model: devices, placement, memory, streaming, precision, processes."""
