"""Config of a LLaMA whose layers have sizes of their own, as vLLM's DeciLMForCausalLM reads it."""

from typing import Any

from transformers import LlamaConfig


class Block(dict[str, Any]):
    """A dictionary whose entries are attributes too."""

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(name)
        found = self[name]
        return Block(found) if isinstance(found, dict) else found


class DeciLMConfig(LlamaConfig):
    """``block_configs``: of every layer the query heads for each key head, and the neurons."""

    model_type = "nemotron-nas"

    def __init__(self, block_configs: Any = (), **fields: Any) -> None:
        super().__init__(**fields)
        self.block_configs = [Block(block) for block in block_configs]
