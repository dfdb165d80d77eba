"""A small film data set whose right answers are known by construction.

Two tastes that never mix, like the colours of a checkerboard: 20 comedies and 20 thrillers in a circle each,
and 15 fans of each. A fan sees eight films of the circle in a row, one a day, always the next one; so what
comes next is known for every user, and one who starts where another has been can be predicted from him.
"""

from __future__ import annotations

import pyarrow as pa

from tastemaker.data.dataset import Dataset

TASTES = ("comedy", "thriller")
CIRCLE = 20
"""Films of one taste."""

FANS = 15
"""Users of one taste."""

SEEN = 8
"""Films that every user has seen."""

FIRST_DAY = 1_577_836_800.0
"""2020-01-01 00:00 UTC, when everybody sees the first film."""

DAY = 86_400.0
_COMPANY = {"comedy": "family", "thriller": "alone"}
_NAMES = [
    "Amber",
    "Brass",
    "Coral",
    "Denim",
    "Ebony",
    "Fawn",
    "Gold",
    "Hazel",
    "Ivory",
    "Jade",
    "Khaki",
    "Lilac",
    "Mauve",
    "Navy",
    "Olive",
    "Pearl",
    "Quartz",
    "Ruby",
    "Silver",
    "Teal",
]


def film_id(taste: str, place: int) -> str:
    """Id of the film at ``place`` of the circle; 20 is 0 again."""
    return f"{taste}-{place % CIRCLE}"


def first_place(fan: int) -> int:
    """Where fan 0..14 starts in the circle; spread so that every step of it is taken by five fans or more."""
    return fan * CIRCLE // FANS


def taste_of(some_id: str) -> str:
    """The taste of a film or of a user."""
    return some_id.split("-")[0]


def next_film(film: str) -> str:
    """The film that follows in the circle: what everyone sees after ``film``."""
    taste, place = film.split("-")
    return film_id(taste, int(place) + 1)


def film_data() -> Dataset:
    """Films ``comedy-0`` .. ``thriller-19`` of 1980 to 2019, users ``comedy-fan-0`` .. ``thriller-fan-14``.

    Genres are the taste, and "Classic" for years before 1990. Ratings are 3, 4, 5, 3, ... in the order of
    seeing; the context column ``company`` is "family" for comedies and "alone" for thrillers.
    """
    films = [(taste, place) for taste in TASTES for place in range(CIRCLE)]
    years = [1980 + 2 * place + TASTES.index(taste) for taste, place in films]
    items = pa.table(
        {
            "id": [film_id(*film) for film in films],
            "title": [f"The {_NAMES[place]} {taste.title()}" for taste, place in films],
            "description": [f"A {taste} about {_NAMES[place].lower()}." for taste, place in films],
            "genres": pa.array(
                [
                    [taste.title(), *(["Classic"] if year < 1990 else [])]
                    for (taste, _), year in zip(films, years, strict=True)
                ],
                pa.list_(pa.string()),
            ),
            "year": years,
        }
    )
    seen = [(taste, fan, step) for taste in TASTES for fan in range(FANS) for step in range(SEEN)]
    interactions = pa.table(
        {
            "user_id": [f"{taste}-fan-{fan}" for taste, fan, _ in seen],
            "item_id": [film_id(taste, first_place(fan) + step) for taste, fan, step in seen],
            "timestamp": [FIRST_DAY + step * DAY for _, _, step in seen],
            "value": [3.0 + step % 3 for _, _, step in seen],
            "company": [_COMPANY[taste] for taste, _, _ in seen],
        }
    )
    return Dataset.from_tables(items, interactions)
