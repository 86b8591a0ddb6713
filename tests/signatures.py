"""How signatures are checked while tests run: shapes and dtypes by jaxtyping, all else by beartype."""

from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

CORE = ("models", "learners", "envs", "distributions", "policy", "rollout", "adaptation", "types")

check = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int will do for a float


def check_the_core() -> None:
    """Makes every call of the core fail that breaks its signature; before any of its modules is imported."""
    install_import_hook([f"icrl.{module}" for module in CORE], "tests.signatures.check")
