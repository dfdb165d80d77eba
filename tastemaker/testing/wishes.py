"""Small catalogues, one a domain, with the columns and values that labelled wishes ask for."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from tastemaker.data.dataset import Dataset
from tastemaker.errors import ConfigError

FILM_GENRES = (
    "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
MUSIC_GENRES = (
    "Rock", "Pop", "Jazz", "Classical", "Electronic", "Hip-Hop", "Folk", "Metal", "Blues", "Country", "Soul",
    "Reggae",
)  # fmt: skip
CATEGORIES = ("Kitchen", "Garden", "Toys", "Electronics", "Clothing", "Beauty", "Books", "Sports")
BRANDS = ("Acme", "Kito", "Nordhem", "Lumo")
LEVELS = ("Beginner", "Intermediate", "Advanced")


def wish_catalogue(domain: str, size: int = 240) -> Dataset:
    """``size`` items whose values go round: every genre, decade, price and brand is there, also together.

    Raises:
        ConfigError: ``domain`` is none of films, music, products, courses.
    """
    rows = range(size)

    def round_(values: tuple[str, ...], step: int = 1) -> list[str]:
        return [values[row // step % len(values)] for row in rows]

    def pairs(values: tuple[str, ...]) -> list[list[str]]:
        return [[values[row % len(values)], values[(row // len(values) + 1) % len(values)]] for row in rows]

    years = [1_930 + row * 7 % 96 for row in rows]
    tables: dict[str, dict[str, Any]] = {
        "films": {
            "year": years,
            "runtime": [60 + row * 11 % 150 for row in rows],
            "genres": pairs(FILM_GENRES),
        },
        "music": {
            "year": years,
            "duration": [90 + row * 13 % 500 for row in rows],
            "genres": pairs(MUSIC_GENRES),
        },
        "products": {
            "price": [2.5 + row * 17 % 400 for row in rows],
            "brand": round_(BRANDS, 3),
            "categories": pairs(CATEGORIES),
        },
        "courses": {
            "hours": [1 + row * 7 % 60 for row in rows],
            "level": round_(LEVELS),
            "price": [row * 19 % 200 for row in rows],
        },
    }
    if domain not in tables:
        raise ConfigError(f"domain {domain!r} has no catalogue for wishes; known are {', '.join(tables)}")
    themes = ("zombies", "Batman", "plastic", "love", "a journey", "cats")
    items = {
        "id": [f"{domain}-{row}" for row in rows],
        "title": [f"The {domain} number {row}" for row in rows],
        "description": [f"About {themes[row % len(themes)]}." for row in rows],
        **tables[domain],
    }
    return Dataset.from_tables(pa.table(items))
