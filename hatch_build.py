"""What the build backend asks us: packages hold the built page, or are not made."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGE = Path("src/pulsebase/api/page/index.html")


class PageHook(BuildHookInterface[Any]):
    """Refuses to build a wheel or a source package while the page is not built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See `BuildHookInterface`. A checkout that is installed in place may do without the page."""
        del build_data
        if version != "editable" and not (Path(self.root) / PAGE).is_file():
            raise RuntimeError(f"{PAGE} is not there: build the page with `make client`, then the package")
