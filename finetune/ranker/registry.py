"""The objectives by the name they have in a recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tastemaker.errors import ConfigError
from tastemaker.finetune.ranker.choice_objectives import AnswerObjective, LabelsObjective
from tastemaker.finetune.ranker.objectives import Mixed, Objective, Tools
from tastemaker.finetune.ranker.recipe import Recipe
from tastemaker.finetune.ranker.title_objectives import NextTitleObjective, TitleObjective

OBJECTIVES: dict[str, Callable[[Tools], Objective[Any]]] = {
    "labels": LabelsObjective,
    "answer": AnswerObjective,
    "title": TitleObjective,
    "next-title": NextTitleObjective,
}


MATCH = "match"
"""Its loss has a head of its own and reads stretches: see ``tastemaker.finetune.ranker.match_setup``."""

NAMES = (MATCH, *OBJECTIVES)


def make_objective(recipe: Recipe, tools: Tools) -> Objective[Any]:
    """The recipe's objective, with next-title language modelling beside it where it has a weight.

    Raises:
        ConfigError: no objective has this name.
    """
    if recipe.objective not in OBJECTIVES:
        raise ConfigError(f"objective is {recipe.objective!r}; known are {', '.join(OBJECTIVES)}")
    main = OBJECTIVES[recipe.objective](tools)
    if not recipe.lm_weight or recipe.objective == "next-title":
        return main
    return Mixed([(1.0, main), (recipe.lm_weight, NextTitleObjective(tools))])
