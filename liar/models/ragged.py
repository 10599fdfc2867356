"""Models whose layers differ in width. A copy of this file lies in every ragged checkpoint, which loads without LIAR by it.

The config keeps the fields of its family, and says beside them which linear layers are of another size:

* ``linears``: name -> [out_features, in_features, has a bias];
* ``attributes``: name of a module -> numbers that it computes with, such as its head count.
"""

from typing import Any

from torch import nn

PREFIX = "liar_"
"""Before the model type of the family: a stock class would not fit, and shall not try."""


def ragged(config_class: Any, model_class: Any) -> tuple[Any, Any]:
    """Config and model like those of the family, but with the sizes that the config names."""

    class Config(config_class):  # type: ignore[misc]
        model_type = PREFIX + config_class.model_type

    class Model(model_class):  # type: ignore[misc]
        def __init__(self, config: Any) -> None:
            # Some heads build their encoder by the class of the config, and the auto classes know only the family's.
            ours = type(config)
            config.__class__ = config_class
            try:
                super().__init__(config)
            finally:
                config.__class__ = ours
            for name, (out_features, in_features, bias) in config.linears.items():
                parent, _, child = name.rpartition(".")
                linear = nn.Linear(in_features, out_features, bias=bias)
                setattr(self.get_submodule(parent), child, linear)
            for name, numbers in config.attributes.items():
                for attribute, number in numbers.items():
                    if type(getattr(self.get_submodule(name), attribute)) is not int or type(number) is not int:
                        raise ValueError(f"{name}.{attribute} is no number of this model")
                    setattr(self.get_submodule(name), attribute, number)

    Config.__name__ = f"Ragged{config_class.__name__}"
    Model.__name__ = f"Ragged{model_class.__name__}"
    Model.config_class = Config
    return Config, Model
