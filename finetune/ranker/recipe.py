"""All that changes what a trained ranker becomes, apart from data, base model and prompt settings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tastemaker.errors import ConfigError

Selection = Literal["ndcg@10", "nll", "fused_ndcg@10", "fused_nll"]


class Recipe(BaseModel):
    """Stored in every checkpoint and in the adapter's manifest. 0 means "all" or "never" where it says so."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    objective: str = Field(default="answer", description="match, labels, answer, title or next-title")
    lm_weight: float = Field(
        default=0.0, ge=0, description="weight of next-title language modelling beside it"
    )
    retrieval_weight: float = Field(
        default=0.0, ge=0, description="adds so many times the retriever's score to the logits, so that the "
        "model learns what the retriever does not know; 1 unless told otherwise for match"
    )  # fmt: skip
    list_size: int = Field(default=0, ge=0, description="candidates per example, drawn at random; 0: all")
    followers: int = Field(default=1, ge=1, description="next items of the sequence that count as targets")
    decay: float = Field(default=0.5, gt=0, le=1, description="weight of each further follower")
    hybrid_share: float = Field(
        default=0.0, ge=0, lt=1, description="share of the target taken from the retriever's own distribution"
    )
    hybrid_sharpness: float = Field(default=1.0, gt=0, description="logits per unit of the retriever's score")
    encoder_folds: int = Field(
        default=0, ge=0, description="so many folds of users, each with candidates from a hybrid with a user "
        "encoder of its own, as served; 0: from hybrids without one"
    )  # fmt: skip
    per_user: int = Field(default=0, ge=0, description="events per user, drawn at random; 0: all")
    max_examples: int = Field(default=0, ge=0, description="examples altogether, drawn at random; 0: all")

    rank: int = Field(default=16, ge=1, description="rank of the LoRA matrices")
    alpha: int = Field(default=32, ge=1, description="LoRA scale; the update is alpha / rank * B A")
    dropout: float = Field(default=0.05, ge=0, lt=1, description="LoRA dropout")
    context_dropout: float = Field(
        default=0.3,
        ge=0,
        lt=1,
        description="share of the fields of events' situations that training does not see, so that a missing "
        "one does no harm (match)",
    )
    lora_layers: int = Field(default=0, ge=0, description="adapt only so many uppermost layers; 0: all")

    stretch: int = Field(default=32, ge=2, description="events that the objective match reads at once")
    factors: int = Field(default=64, ge=0, description="of each item, from who had it together with what")

    learning_rate: float = Field(default=2e-4, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    head_epochs: int = Field(
        default=2, ge=0, description="passes of the head of the objective match alone, before LoRA"
    )
    head_learning_rate: float = Field(default=5e-4, gt=0, description="of that head, alone and beside LoRA")
    head_weight_decay: float = Field(default=0.05, ge=0)
    warmup: float = Field(default=0.05, ge=0, lt=1, description="share of the steps with a rising rate")
    final_rate: float = Field(default=0.05, ge=0, le=1, description="share of the rate left at the end")
    clip: float = Field(default=1.0, gt=0, description="largest norm of a gradient")
    epochs: int = Field(default=1, ge=0, description="0: the head of the objective match alone")
    max_steps: int = Field(default=0, ge=0, description="stop after so many steps; 0: after the epochs")
    batch: int = Field(default=16, ge=1, description="examples per optimizer step, over all processes")
    micro_tokens: int = Field(
        default=2_048, ge=1, description="padded tokens of one forward pass; a longer example goes alone"
    )
    gradient_checkpointing: bool = Field(default=False, description="less memory for a third more time")

    eval_every: int = Field(default=50, ge=0, description="steps between evaluations; 0: before and after")
    patience: int = Field(
        default=0, ge=0, description="stop after so many evaluations without gain; 0: never"
    )
    best_by: Selection = Field(default="fused_nll", description="validation measure that picks the adapter")
    checkpoint_every: int = Field(default=50, ge=1, description="steps between checkpoints")
    adapter_dtype: Literal["float32", "bfloat16"] = Field(
        default="float32", description="of the saved adapter; bfloat16 halves the file"
    )
    seed: int = Field(default=0, ge=0)

    def as_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def make_recipe(values: dict[str, Any]) -> Recipe:
    """Check ``values`` (texts are converted) against ``Recipe``.

    Raises:
        ConfigError: an unknown name or an impossible value.
    """
    if values.get("objective") == "match":
        # Served scores of this form are added to the retriever's as they are; so they are trained.
        values = {"retrieval_weight": 1.0, **values}
    try:
        recipe = Recipe(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            known = ", ".join(Recipe.model_fields)
            raise ConfigError(f"unknown training option {name!r}; known are {known}") from error
        raise ConfigError(f"training option {name} is {first['input']!r}: {first['msg']}") from error
    if recipe.objective == "match":
        if not recipe.lora_layers:
            raise ConfigError(
                "lora_layers is 0; the objective match reads item texts by layers that LoRA leaves alone",
                hint="add --lora-layers 12",
            )
        if recipe.lm_weight:
            raise ConfigError(f"lm_weight is {recipe.lm_weight:g}; the objective match takes none beside it")
    if recipe.encoder_folds == 1:
        raise ConfigError(
            "encoder_folds is 1; at least 2 are needed to hide a user", hint="-o encoder_folds=4"
        )
    if not recipe.epochs and not (recipe.objective == "match" and recipe.head_epochs):
        raise ConfigError("epochs is 0, and there is no head to train instead", hint="add --epochs 1")
    return recipe


def require_equal(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse to resume what was begun differently.

    Raises:
        ConfigError: names the first field that differs, with both values.
    """
    for name in (*wanted, *(found.keys() - wanted.keys())):
        if found.get(name) != wanted.get(name):
            raise ConfigError(
                f"the run was begun with {name} = {found.get(name)!r}; now it is {wanted.get(name)!r}",
                hint="resume with the same options, or start anew without --resume",
            )
