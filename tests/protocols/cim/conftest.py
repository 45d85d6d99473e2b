"""What the tests of the CIM provider share."""

import pytest

from frontinus_cim.host import jobs


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a loaded machine any call could take so long that it becomes a job; tests of jobs set this anew."""
    monkeypatch.setattr(jobs, "PATIENCE", 120.0)
