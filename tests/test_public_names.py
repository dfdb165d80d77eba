"""What `import tastemaker` offers, and the one tree of errors."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import tastemaker
from tastemaker import errors
from tastemaker.errors import InputError, MissingExtraError, TastemakerError

TREE = {
    "InputError": (
        [
            "ConfigError",
            "DataError",
            "FilterError",
            "RequestError",
            "UnknownSessionError",
            "UnknownUserError",
            "WorkspaceError",
        ],
        2,
    ),
    "TastemakerError": (
        ["ArtifactError", "WeightsError", "ModelError", "MissingExtraError", "StorageError"],
        1,
    ),
}


@pytest.mark.parametrize("name", tastemaker.__all__)
def test_every_public_name_is_what_its_home_says(name: str) -> None:
    found = getattr(tastemaker, name)
    assert found is getattr(importlib.import_module(found.__module__), name)
    assert found.__doc__


def test_the_list_of_public_names() -> None:
    wanted = ["Context", "Dataset", "Item", "Recommendation", "Recommender", "Reranker", "TastemakerError"]
    assert tastemaker.__all__ == wanted
    with pytest.raises(AttributeError, match="no attribute 'Recomender'"):
        tastemaker.Recomender  # noqa: B018 (the look-up is the test)


def test_a_light_name_loads_nothing_heavy() -> None:
    code = (
        "import sys; from tastemaker import Context, Item, TastemakerError; "
        "print(sorted({'torch', 'transformers', 'faiss', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "parent", "code"),
    [(name, parent, code) for parent, (names, code) in TREE.items() for name in names],
)
def test_errors_are_a_tree_with_exit_codes(name: str, parent: str, code: int) -> None:
    kind = getattr(errors, name)
    assert kind.__bases__ == (getattr(errors, parent),)
    assert kind.exit_code == code
    assert name in str(errors.__doc__)


def test_the_tree_is_whole() -> None:
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert kinds == {"TastemakerError", "InputError", *TREE["InputError"][0], *TREE["TastemakerError"][0]}


def test_a_message_is_one_line_with_its_hint() -> None:
    error = InputError("found that", hint="type this")
    assert (str(error), error.message, error.hint) == ("found that (type this)", "found that", "type this")
    assert str(TastemakerError("found that")) == "found that"
    missing = MissingExtraError(package="fastapi", extra="serve")
    assert str(missing) == "fastapi is not installed (pip install 'tastemaker[serve]')"
