"""Somebody's own CSV files: four commands from files to explained recommendations, with the real models."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.weights, pytest.mark.timeout(600)]

KINDS = ("tent", "kettle", "lamp", "backpack", "pan", "rug", "stove", "knife", "mirror", "torch")
SHELVES = (
    "Outdoor",
    "Kitchen",
    "Home",
    "Outdoor",
    "Kitchen",
    "Home",
    "Outdoor",
    "Kitchen",
    "Home",
    "Outdoor",
)
BRANDS = ("Acme", "Norrland", "Kito", "Bluebird", "Peak")


def write_shop(folder: Path) -> None:
    """50 made-up products and 300 events of 30 people, each of whom mostly buys from one shelf."""
    chance = random.Random(1)
    products = [
        (f"p{i}", f"{BRANDS[i // 10]} {KINDS[i % 10]}", SHELVES[i % 10], f"{5 + 1.9 * i:.2f}")
        for i in range(50)
    ]
    with (folder / "products.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("product_id", "name", "category", "price"), *products])
    rows: list[tuple[object, ...]] = [("customer_id", "product_id", "event", "ts", "device")]
    for n in range(300):
        shelf = ("Outdoor", "Kitchen", "Home")[n % 30 % 3]
        pool = [p for p in products if p[2] == shelf] if chance.random() < 0.85 else products
        event = chance.choice(("view", "cart", "purchase"))
        device = chance.choice(("phone", "desktop"))
        rows.append((f"c{n % 30}", chance.choice(pool)[0], event, 1_700_000_000 + 3_600 * n, device))
    with (folder / "events.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def tastemaker(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "tastemaker", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_four_commands_from_csv_to_explained_recommendations(tmp_path: Path) -> None:
    write_shop(tmp_path)
    imported = tastemaker(
        tmp_path, "data", "import", "--interactions", "events.csv", "--items", "products.csv", "-w", "shop",
        "--column", "user=customer_id", "--json",
    )  # fmt: skip
    assert json.loads(imported)
    assert "50" in tastemaker(tmp_path, "index", "build", "-w", "shop")
    ask = ("recommend", "-w", "shop", "-k", "3", "--set", "candidates=5", "--filter", "price<60", "--json")
    kitchen = json.loads(tastemaker(tmp_path, *ask, "--user", "c1", "--context", "device=phone"))
    assert len(kitchen["items"]) == 3
    assert all(item["explanation"]["text"] for item in kitchen["items"])
    assert kitchen["trace"]["model"] == "qwen2.5-coder-0.5b-instruct"
    assert kitchen["trace"]["degraded"] is None
    kitchenware = {f"p{i}" for i in range(50) if SHELVES[i % 10] == "Kitchen"}
    assert len(kitchenware & {item["id"] for item in kitchen["items"]}) >= 2
    typed = json.loads(tastemaker(tmp_path, *ask, "--history", "Acme tent;Peak torch", "--llm", "none"))
    assert "no language model" in typed["trace"]["degraded"]
    assert {item["id"] for item in typed["items"]} <= {f"p{i}" for i in range(29)}
