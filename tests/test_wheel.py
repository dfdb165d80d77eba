"""The built wheel, installed into a fresh environment, is complete and its command runs."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, without isolation, so that neither the checkout nor the network is touched."""
    source = tmp_path_factory.mktemp("source") / "tastemaker"
    subprocess.run(["git", "-C", ROOT, "checkout-index", "-a", f"--prefix={source}/"], check=True)
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def fresh_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with our wheel alone; the dependencies are borrowed by path.

    Lines of a .pth file are added to the path but their own .pth files are not read, so the editable
    install of the checkout stays invisible.
    """
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(pip, check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    return python


def test_the_wheel_holds_templates_packs_and_types(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "tastemaker/py.typed" in names
    for folder in ("prompts/templates", "prompts/packs"):
        shipped = {Path(name).name for name in names if name.startswith(f"tastemaker/{folder}/")}
        assert shipped == {path.name for path in (ROOT / folder).iterdir() if path.suffix == ".yaml"}
    domains = {path.parent.name for path in (ROOT / "prompts/domains").glob("*/domain.yaml")}
    assert {f"tastemaker/prompts/domains/{name}/domain.yaml" for name in domains} <= set(names)
    assert "tastemaker/eval/baselines/tuned.json" in names
    modules = {name for name in names if name.endswith(".py")}
    for part in ("prompts", "index", "finetune", "agent", "eval"):
        for path in (ROOT / part).rglob("*.py"):
            assert f"tastemaker/{path.relative_to(ROOT).as_posix()}" in modules
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "agent/"))]


def test_the_command_runs_from_the_wheel(fresh_python: Path, tmp_path: Path) -> None:
    where = [fresh_python, "-c", "import tastemaker; print(tastemaker.__file__)"]
    found = subprocess.run(where, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert str(fresh_python.parent.parent) in found.stdout
    command = fresh_python.parent / "tastemaker"
    version = subprocess.run([command, "--version"], capture_output=True, text=True, cwd=tmp_path)
    assert (version.returncode, version.stdout.strip()) == (0, "0.1.0")
    doctor = subprocess.run([command, "doctor", "--json"], capture_output=True, text=True, cwd=tmp_path)
    assert json.loads(doctor.stdout)
    missing = subprocess.run(
        [command, "recommend", "--workspace", "nowhere"], capture_output=True, text=True, cwd=tmp_path
    )
    assert missing.returncode == 2
    assert "no workspace" in missing.stderr
    assert "Traceback" not in missing.stderr
