from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.files import ISO_FILE, US_FILE, write_files
from tests.support.process import Place, serving


@pytest.fixture(scope="module", params=["server down", "server up"])
def stocked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place whose store holds the two files, with a server on it and without one."""
    place = Place(tmp_path_factory.mktemp("stocked"))
    write_files(place.folder)
    if request.param == "server down":
        assert place.run("import", ISO_FILE, US_FILE).returncode == 0
        yield place
    else:
        with serving(place) as server:
            assert place.run("import", ISO_FILE, US_FILE).returncode == 0
            assert place.holder()["pid"] == server.pid
            yield place
            assert server.errors == ""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty place."""
    write_files(tmp_path)
    return Place(tmp_path)
