from __future__ import annotations

from tastemaker.index.text import MAX_TEXT_CHARS, clip_text, item_text
from tastemaker.types import AttributeValue, Item


def test_title_year_genres_words_and_description_in_this_order() -> None:
    item = Item(
        id="1",
        title="Alien",
        description="In deep   space\nnobody hears you.",
        attributes={"year": 1979, "genres": ("Horror", "Sci-Fi"), "director": "Ridley Scott", "price": 9.5},
    )
    assert item_text(item) == (
        "Alien (1979). Horror, Sci-Fi. director: Ridley Scott. In deep space nobody hears you."
    )


def test_numbers_and_addresses_are_left_out() -> None:
    attributes: dict[str, AttributeValue] = {
        "image": "https://host/a.jpg",
        "sku": "12-34",
        "votes": 7,
        "tags": ("", "cosy"),
    }
    assert item_text(Item(id="1", title="Lamp", attributes=attributes)) == "Lamp. tags: cosy"


def test_long_descriptions_are_capped() -> None:
    item = Item(id="1", title="T" * 5_000, description="word " * 100_000)
    assert len(item_text(item)) <= MAX_TEXT_CHARS
    assert len(item_text(Item(id="1", title="T", description="word " * 100_000))) < 650
    assert clip_text("a" * 10_000) == "a" * MAX_TEXT_CHARS
