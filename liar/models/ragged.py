"""Models whose layers differ in width. Every ragged checkpoint has a copy of this file, so that it loads without LIAR.

The config has the fields of its family and two more for the linear layers of another size:

* ``linears``: name -> [out_features, in_features, has a bias];
* ``attributes``: name of a module -> its size attributes, such as the head count.
"""

from typing import Any

from torch import nn

PREFIX = "liar_"
"""Prefix of the family's model type, so that no stock class, which would not fit, loads the checkpoint."""


class OwnNumbers:
    """A config with some ``numbers`` of one module; all else is that of the ``shared`` one, also what changes there later."""

    def __init__(self, shared: Any, **numbers: int) -> None:
        vars(self).update(numbers, shared=shared)

    def __getattr__(self, name: str) -> Any:
        if name == "shared":  # it has none while it is copied
            raise AttributeError(name)
        return getattr(self.shared, name)


def ragged(config_class: Any, model_class: Any) -> tuple[Any, Any]:
    """Subclasses of a family's config and model class, with the layer sizes of the config."""

    class Config(config_class):  # type: ignore[misc]
        model_type = PREFIX + config_class.model_type

    class Model(model_class):  # type: ignore[misc]
        def __init__(self, config: Any) -> None:
            # Some heads build their encoder through an auto class, which accepts only the family's config class.
            ours = type(config)
            config.__class__ = config_class
            try:
                super().__init__(config)
            finally:
                config.__class__ = ours
            for name, (out_features, in_features, bias) in config.linears.items():
                parent, _, child = name.rpartition(".")
                plain = self.get_submodule(name)
                if isinstance(plain, nn.Linear):
                    linear = nn.Linear(in_features, out_features, bias=bias)
                else:  # the Conv1D of a GPT-2
                    linear = type(plain)(out_features, in_features)
                setattr(self.get_submodule(parent), child, linear)
            for name, numbers in config.attributes.items():
                for attribute, number in numbers.items():
                    owner: Any = self.get_submodule(name)
                    path = attribute
                    if path.startswith("config."):  # which the module shares with others
                        path = path.removeprefix("config.")
                        own = OwnNumbers(owner.config, **{path: getattr(owner.config, path)})
                        owner.config, owner = own, own
                    if type(getattr(owner, path)) is not int or type(number) is not int:
                        raise ValueError(f"{name}.{attribute} is no number of this model")
                    setattr(owner, path, number)

    Config.__name__ = f"Ragged{config_class.__name__}"
    Model.__name__ = f"Ragged{model_class.__name__}"
    Model.config_class = Config
    return Config, Model
