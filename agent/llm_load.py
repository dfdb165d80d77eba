"""From settings to a language model. Model libraries are imported only when a model is loaded here."""

from __future__ import annotations

from tastemaker.config import Settings
from tastemaker.errors import ConfigError
from tastemaker.protocols import LanguageModel, ProgressCallback
from tastemaker.weights.fetch import ensure


def load_language_model(settings: Settings, progress: ProgressCallback | None = None) -> LanguageModel:
    """Load ``settings.llm``: a served model for a URL, else weights that are fetched once and run here.

    Raises:
        ConfigError: no model is asked for, or a setting does not go with a served model.
        WeightsError: the weights cannot be fetched.
        ModelError, ArtifactError: see ``TransformersLM.load`` and ``ServerLM``.
    """
    if settings.llm == "none":
        raise ConfigError("llm is 'none'; the name of a language model is wanted")
    if settings.llm.startswith(("http://", "https://")):
        return _served(settings)
    source = ensure(settings.llm, progress=progress)
    from tastemaker.agent.llm import TransformersLM

    return TransformersLM.load(
        source.path,
        name=source.name,
        fingerprint=source.fingerprint,
        adapter=settings.adapter,
        quantization=settings.quantization,
        dtype=settings.dtype,
    )


def _served(settings: Settings) -> LanguageModel:
    for field in ("adapter", "quantization"):
        if getattr(settings, field) not in (None, "none"):
            raise ConfigError(
                f"{field} is {getattr(settings, field)!s}, but {settings.llm} loads its own weights",
                hint=f"leave {field} out and let the server load it",
            )
    from tastemaker.agent.llm_server import ServerLM

    return ServerLM(settings.llm, model=settings.llm_model)
