from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests import disks


@pytest.fixture
def full_disk() -> Callable[..., AbstractContextManager]:
    """See `tests.disks`."""
    return disks.full_disk
