"""The rules as policies of the engine: what it hands over becomes resources, what is found becomes messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from policy import cost, encryption, exposure, images, permissions, pod_security, protection, workloads
from policy.exceptions import NAME, WHAT, Exceptions
from policy.node import Node
from policy.rule import Facts, Finding, Resource, Rule, StackRule

RULES: tuple[Rule, ...] = (
    *images.RULES,
    *protection.RULES,
    *exposure.RULES,
    *permissions.RULES,
    *encryption.RULES,
    *pod_security.RULES,
    *workloads.RULES,
    *cost.RULES,
)
STACK_RULES: tuple[StackRule, ...] = (*encryption.STACK_RULES, *workloads.STACK_RULES, *cost.STACK_RULES)
NAMES = (*(one.name for one in RULES), *(one.name for one in STACK_RULES))
LEVELS = {"mandatory": EnforcementLevel.MANDATORY, "advisory": EnforcementLevel.ADVISORY}


@dataclass(frozen=True)
class Pack:
    """The policies of one stack."""

    _stack: Future[tuple[Facts, Exceptions]]

    @classmethod
    def of(cls, config: Mapping[str, str], stack: str) -> Pack:
        """Return the pack of a stack; its settings are read while the engine goes on to start the program."""
        return cls(ThreadPoolExecutor(1).submit(_read, config, stack))

    def policies(self) -> list[Policy]:
        """Return the policies; the one of exceptions comes when every other has been asked."""
        return [
            *(_resource_policy(rule, partial(self._judge, rule)) for rule in RULES),
            *(
                _stack_policy(rule.name, rule.what, rule.level, partial(self._judge_stack, rule))
                for rule in STACK_RULES
            ),
            _stack_policy(NAME, WHAT, "advisory", self._judge_exceptions),
        ]

    def _judge(self, rule: Rule, args: ResourceValidationArgs, report: ReportViolation) -> None:
        resource = Resource(
            args.resource_type, args.name, args.urn, _properties(args.resource_type, args.props), args.opts.protect
        )
        facts, exceptions = self._stack.result()
        for finding in rule.check(resource, facts):
            if not exceptions.cover(rule.name, finding.subject or resource.name):
                report(message(finding, resource), None)

    def _judge_stack(self, rule: StackRule, args: StackValidationArgs, report: ReportViolation) -> None:
        facts, exceptions = self._stack.result()
        for finding in rule.check([_of_stack(one) for one in args.resources], facts):
            about = finding.resource
            if not exceptions.cover(rule.name, finding.subject or (about.name if about else "")):
                report(message(finding, about), about.urn if about else None)

    def _judge_exceptions(self, _args: StackValidationArgs, report: ReportViolation) -> None:
        _, exceptions = self._stack.result()
        for finding in exceptions.unneeded(NAMES):
            report(message(finding, None), None)


def _read(config: Mapping[str, str], stack: str) -> tuple[Facts, Exceptions]:
    # Here, since pydantic takes longer to import than all the rest.
    from policy.facts import read  # noqa: PLC0415

    facts = read(config, stack)
    return facts, Exceptions(facts.policies.exceptions)


def _resource_policy(
    rule: Rule, validate: Callable[[ResourceValidationArgs, ReportViolation], None]
) -> ResourceValidationPolicy:
    return ResourceValidationPolicy(rule.name, rule.what, validate, LEVELS[rule.level])


def _stack_policy(
    name: str, what: str, level: str, validate: Callable[[StackValidationArgs, ReportViolation], None]
) -> StackValidationPolicy:
    return StackValidationPolicy(name, what, validate, LEVELS[level])


def _of_stack(one: PolicyResource) -> Resource:
    dependencies = tuple(found.urn for found in one.dependencies)
    properties = _properties(one.resource_type, one.props)
    return Resource(one.resource_type, one.name, one.urn, properties, one.opts.protect, dependencies)


def _properties(type_: str, given: Mapping[str, Any]) -> Node:
    return Node(given, partial=type_.startswith("kubernetes:") and type_.endswith("Patch"))


def message(finding: Finding, resource: Resource | None) -> str:
    """Return a finding in one line: resource, property, value, remedy."""
    place = f"{resource.type} {resource.name}: " if resource else ""
    return f"{place}{finding.path}: {finding.problem}; {finding.remedy}"
