"""Wheel build hook: compiles the kernels ahead of time for this platform's baseline CPU.

An installed agent then imports numpy and one extension module, and neither numba nor LLVM. Where it
can not be done (no C compiler), the wheel is built all the same, pure Python, and the agent needs
the extra `jit`. An editable install stays as it is: `make kernels` compiles into a checkout.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_KERNELS = Path("agent") / "core" / "kernels"


class KernelBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """See the module."""

    _made: tuple[Path, ...] = ()

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into the source tree and add what came out to the wheel."""
        if version == "editable":
            return
        root = Path(self.root)
        path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
        made = subprocess.run(
            [sys.executable, "-m", "agent.core.kernels.build"],
            cwd=root,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            cause = (made.stderr.strip().splitlines() or ["no reason given"])[-1]
            self.app.display_warning(
                f"the kernels were not compiled ({cause}): this wheel needs numba at run time, "
                "install it as fieldwarden[jit]"
            )
            return
        extension = Path(made.stdout.strip().splitlines()[-1])
        digest = extension.with_name(extension.name.split(".")[0] + ".sha256")
        self._made = (extension, digest)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"] += [f"/{_KERNELS}/{path.name}" for path in self._made]

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Leave the source tree as it was: what it runs with is `make kernels`' to say."""
        del version, build_data, artifact_path
        for path in self._made:
            path.unlink(missing_ok=True)
