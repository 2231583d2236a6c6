"""Copies the app into the built package; everything else is in pyproject.toml.

app.py and pages/ lie at the top of the repository, where Streamlit expects them. An installed
LabelAudit finds them, and the files they read, in labelaudit/ui/app/.
"""

from pathlib import Path
from shutil import copyfile

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
APP_FILES = ("app.py", "pages/*/*.py", "docs/methods.md", ".streamlit/config.toml")


class BuildWithApp(build_py):
    """Builds the package and adds the app to it."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the app is run from the repository
            return
        for pattern in APP_FILES:
            for source in ROOT.glob(pattern):
                target = Path(self.build_lib, "labelaudit/ui/app", source.relative_to(ROOT))
                target.parent.mkdir(parents=True, exist_ok=True)
                copyfile(source, target)


setup(cmdclass={"build_py": BuildWithApp})
