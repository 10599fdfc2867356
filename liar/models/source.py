"""Finding a model's files: in a local folder, in the hub's cache, or on the hub after one short request."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
from transformers import PreTrainedConfig

from liar.errors import ModelNotFoundError, UnsupportedModelError
from liar.models.families import model_types
from liar.models.ragged import PREFIX
from liar.presets import preset_of

PROBE_SECONDS = 8.0
"""Time limit of the first request to the Hub, which shows whether it can be reached."""

_HTTP_NOT_FOUND = (401, 403, 404)  # the hub answers 401 for an id that does not exist


@dataclass(frozen=True, slots=True)
class Source:
    """A folder or hub id to load from. ``local_only`` stops requests to a hub that is out of reach; ``revision`` is the
    commit or branch of a hub id, None for the default one.
    """

    path: str
    local_only: bool
    revision: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments for every ``from_pretrained``: no remote code, no requests if ``local_only``."""
        options = {"local_files_only": self.local_only, "trust_remote_code": False}
        return options if self.revision is None else {**options, "revision": self.revision}


def is_hub_id(name: str) -> bool:
    """Whether ``name`` has the form of a hub id, owner/name or name; makes no request."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def find_model(model: str) -> Source:
    """Find the source of ``model`` (a local folder or a hub id); a preset gets the revision of its table.

    Raises :class:`ModelNotFoundError` within seconds if the id is unknown, gated, or out of reach and not cached.
    """
    if Path(model).expanduser().is_dir():
        return Source(str(Path(model).expanduser()), local_only=True)
    preset = preset_of(model)
    revision = preset.revision if preset is not None else None
    try:
        # One request with a short timeout: transformers itself would retry long, once for every file.
        get_hf_file_metadata(hf_hub_url(model, "config.json", revision=revision), timeout=PROBE_SECONDS)
    except HFValidationError:
        raise ModelNotFoundError(
            f"There is no folder {model!r}, and it is not a hub id either; ids look like owner/name, see `liar models`."
        ) from None
    except GatedRepoError:
        raise ModelNotFoundError(
            f"Access to {model!r} is gated; accept its licence on its page and log in with `hf auth login`."
        ) from None
    except HfHubHTTPError as error:
        if error.response.status_code in _HTTP_NOT_FOUND:
            raise ModelNotFoundError(
                f"The hub has no model {model!r} that you may read; check the spelling, or log in with `hf auth login`."
            ) from None
        return _cached(model, revision)
    except (OSError, OfflineModeIsEnabled):
        return _cached(model, revision)
    except Exception as error:
        if is_network_error(error):
            return _cached(model, revision)
        raise
    return Source(model, local_only=False, revision=revision)


def weight_bytes(folder: Path) -> int:
    """Bytes of the safetensors in ``folder``; 0 if there are none."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))


def is_network_error(error: Exception) -> bool:
    """Whether ``error`` is a network error, by class name: the hub client's HTTP library differs between versions."""
    names = {parent.__name__ for parent in type(error).__mro__}
    return bool(names & {"TransportError", "RequestException"})


def _cached(model: str, revision: str | None) -> Source:
    config = try_to_load_from_cache(model, "config.json", revision=revision)
    if isinstance(config, str):
        # The folder and not the id: given an id, some loaders send requests in spite of local_files_only.
        return Source(str(Path(config).parent), local_only=True)
    raise ModelNotFoundError(
        f"There is no folder {model!r}, and the hub cannot be reached; check the path or the network, or take one of "
        "the demo models (see `liar models`)."
    )


def read_config(source: Source) -> dict[str, Any]:
    """The raw ``config.json``.

    Raises :class:`ModelNotFoundError` if it cannot be read, :class:`UnsupportedModelError` for an unknown family.
    """
    try:
        config, _ = PreTrainedConfig.get_config_dict(source.path, **source.options)
    except (OSError, ValueError):
        config = {}
    if not config:
        raise ModelNotFoundError(
            f"{source.path!r} has no readable config.json; name a folder or hub id of a transformers model."
        )
    model_type = config.get("model_type")
    if str(model_type).removeprefix(PREFIX) not in model_types():
        raise UnsupportedModelError(
            f"Models of type {model_type!r} are not supported; choose one of: {', '.join(model_types())}."
        )
    return config
