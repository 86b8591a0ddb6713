"""`icrl check`: whether a model, an environment or a family of projections keeps its contract."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from icrl.contracts import Finding, how_broken, require
from icrl.contracts.environments import examine_suite
from icrl.contracts.models import examine_model
from icrl.contracts.projections import examine_projection
from icrl.envs.projection import PROJECTIONS
from icrl.envs.suites import REGISTRY, find_suite
from icrl.errors import Problem, SpecError, UserError, did_you_mean, show
from icrl.models import MODELS, ModelSpec, NamedModel
from icrl.plugins import Registry
from icrl.runs import compilation_cache, numerics
from icrl.spec.parse import apply_overrides, parse, plain_of_kind

KINDS: dict[str, Registry] = {"sequence model": MODELS, "suite": REGISTRY, "family of projections": PROJECTIONS}


def check(name: str, *, overrides: Sequence[str] = ()) -> None:
    """Tries every part of a contract and prints what becomes of it.

    Args:
        name: `module:Class`, or a name that a spec may give, such as `gru` or `cartpole`.
        overrides: ``key=value`` fields of a model's spec.

    Raises:
        UserError: there is no such thing, or a part of its contract is broken.
    """
    kind, registry = _kind_of(name)
    if overrides and registry is not MODELS:
        raise UserError(f"{overrides[0]}: got a field; expected none, since {name} is a {kind}")
    numerics.pin()
    compilation_cache.enable()
    findings = _examination(name, registry, overrides)()
    print(f"{name}, a {kind}:")
    for finding in findings:
        print(f"  {'FAILED' if finding.broken else 'ok':<7}{finding.promise}")
        if finding.broken:
            print(f"         {finding.broken}")
    if failed := [finding for finding in findings if finding.broken]:
        parts = "\n".join(f"{finding.promise}: {finding.broken}" for finding in failed)
        raise UserError(f"{name}: {len(failed)} of {len(findings)} parts of the contract of a {kind} failed\n{parts}")


def _kind_of(name: str) -> tuple[str, Registry]:
    """Where a name belongs. Raises UserError if that is nowhere."""
    refused: list[Problem] = []
    for kind, registry in KINDS.items():
        try:
            registry.find(name)
        except SpecError as error:
            refused += error.problems
        else:
            return kind, registry
    known = [known for registry in KINDS.values() for known in registry.names]
    expected = f"module:Class, or one of {', '.join(known)}"
    if ":" not in name:
        raise UserError(str(Problem("NAME", show(name), expected, did_you_mean(name, known))))
    expected = "; or ".join(dict.fromkeys(problem.expected for problem in refused))
    raise SpecError([replace(refused[0], where="NAME", expected=expected)])


def _examination(name: str, registry: Registry, overrides: Sequence[str]) -> Callable[[], list[Finding]]:
    """What examines it. Raises SpecError where a model's fields are wrong."""
    if registry is PROJECTIONS:
        return partial(examine_projection, registry.find(name))
    if registry is REGISTRY:
        return partial(examine_suite, find_suite(name))
    spec: Any = parse(NamedModel, apply_overrides({"kind": name}, overrides))  # type: ignore[type-var]
    return lambda: [_is_read_back(spec), *examine_model(spec)]


def _is_read_back(spec: ModelSpec) -> Finding:
    """Whether a spec is the same after it was written to a run's folder."""

    def read_back() -> None:
        plain = plain_of_kind(NamedModel, spec)
        again = parse(NamedModel, plain)  # type: ignore[type-var]
        require(again == spec, f"{plain} is read as {again}")

    return Finding("Its spec is the same once written and read back", how_broken(read_back))
