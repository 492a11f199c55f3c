"""What pyproject.toml cannot say: recipes, protocols and batch scripts, which lie at the top of the checkout, go into the wheel."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Copy configs/ and slurm/ into genbench/shipped/, where `genbench.system.locations.shipped` finds them without a checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "genbench" / "shipped"
        for folder in ("configs", "slurm"):
            shutil.copytree(folder, target / folder, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithConfigs})
