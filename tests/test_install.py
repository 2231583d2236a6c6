"""A built wheel contains the app, and `labelaudit app` starts it from any folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
import zipfile
from pathlib import Path

import pytest
from app_server import CHROMIUM, answers, browser, free_port, new_page

REPO = Path(__file__).resolve().parents[1]
START_SECONDS = 300
SOURCES = ("labelaudit", "pages", "docs", ".streamlit", "app.py", "setup.py", "pyproject.toml",
           "requirements.txt", "README.md", "MANIFEST.in")  # fmt: skip

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel built from a source distribution, without the network."""
    folder = tmp_path_factory.mktemp("build")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:  # a copy: building leaves files behind
        path = REPO / name
        if path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "pictures", "secrets.toml")
            shutil.copytree(path, source / name, ignore=ignored)
        else:
            shutil.copy(path, source / name)
    build = "from setuptools import build_meta; build_meta.build_sdist('dist')"
    _run([sys.executable, "-c", build], source)
    (sdist,) = (source / "dist").glob("*.tar.gz")
    _run([sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index",
          "--wheel-dir", str(folder), str(sdist)], folder)  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The `bin` folder of a fresh environment with the wheel; it sees this one's packages."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    bin_folder = folder / ("Scripts" if os.name == "nt" else "bin")
    python = bin_folder / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps",
               "--no-index", "--disable-pip-version-check", str(wheel)]  # fmt: skip
    _run(command, folder)
    site = _run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder
    )
    (Path(site.strip()) / "base.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return bin_folder


def _run(command: list[str], folder: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_contains_the_app_once(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"labelaudit"}
    folder = "labelaudit/ui/app/"
    packed = {name.removeprefix(folder) for name in names if name.startswith(folder)}
    pages = {str(path.relative_to(REPO)) for path in REPO.glob("pages/*/*.py")}
    assert packed == pages | {"app.py", "docs/methods.md", ".streamlit/config.toml"}
    tracked = {
        str(path.relative_to(REPO))
        for path in (REPO / "labelaudit").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert tracked <= set(names), tracked - set(names)


def test_help_is_quick_because_it_imports_no_command(installed, tmp_path):
    code = (
        "import sys; from labelaudit.cli import main; main(['--help'], standalone_mode=False); "
        "slow = {'numpy', 'pandas', 'torch', 'lancedb', 'pyarrow', 'tqdm', 'streamlit'}; "
        "sys.exit(', '.join(slow & set(sys.modules)) or 0)"
    )
    assert "Find the wrong labels" in _run([str(installed / "python"), "-c", code], tmp_path)


@pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium to run this")
def test_the_installed_app_starts_from_another_folder(installed, tmp_path, home):
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    # a config file of the folder does not open the app to others
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "config.toml").write_text('[server]\naddress = "0.0.0.0"\n')
    log = tmp_path / "app.log"
    with log.open("wb") as output:
        app = subprocess.Popen(
            [str(installed / "labelaudit"), "app", "--server.headless", "true",
             "--server.port", str(port)],
            cwd=tmp_path, env=environment, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_SECONDS
        while not answers(address):
            assert app.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        assert "0.0.0.0" not in log.read_text()
        with browser() as chromium, new_page(chromium) as page:
            page.goto(f"{address}/methods")  # a page that reads a file of the wheel
            page.get_by_role("heading", name="Neighbour disagreement").wait_for()
    finally:
        app.terminate()
        app.wait(START_SECONDS)
