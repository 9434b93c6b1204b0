"""What the configuration means to the parts that use it."""

import pytest

from ccnode.config import load_config
from ccnode.settings import entrances, listening_port


@pytest.mark.parametrize(
    ("arguments", "port"),
    [
        ([], 8333),
        (["--port=5"], 5),
        (["--port=0"], 8333),
        (["--port=5", "--bind=127.0.0.1"], 5),
        (["--port=5", "--bind=127.0.0.1:0", "--bind=127.0.0.1:6", "--bind=127.0.0.1:7"], 6),
        (["--port=5", "--bind=127.0.0.1:6=onion"], 5),
        (["--port=5", "--whitebind=noban@127.0.0.1:6"], 5),
        (["--port=5", "--whitebind=relay@127.0.0.1:6", "--bind=127.0.0.1:7"], 7),
        (["--port=5", "--whitebind=relay@127.0.0.1:6"], 6),
        (["--port=5", "--nolisten"], 5),
    ],
)
def test_the_port_that_others_are_told(arguments: list[str], port: int) -> None:
    assert listening_port(load_config(arguments), 8333) == port


def test_which_entrances_are_public() -> None:
    options = ["--bind=127.0.0.1:1", "--bind=127.0.0.1:2=onion"]
    options += ["--whitebind=relay@127.0.0.1:3", "--whitebind=127.0.0.1:4", "--whitebind=noban@127.0.0.1:5"]
    bound = entrances(load_config(options), 8333)
    assert {entrance.address.port for entrance in bound if entrance.is_public} == {1, 3, 4}
