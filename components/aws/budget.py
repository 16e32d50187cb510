"""Budget: who is told when a stack costs more in AWS than it should."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from settings import BudgetSettings

# What is spent, and what AWS expects to be by the end of the month, in percent of the budget.
LIMITS = (("ACTUAL", 80.0), ("ACTUAL", 100.0), ("FORECASTED", 100.0))
# The provider reads it back with a key for each field that its SDK has, of which there may be more one day, and a
# difference replaces the monitor with all that it learned. What it says is the stack's name, which stays.
READ_BACK = ["monitorSpecification"]


@dataclass(frozen=True, kw_only=True)
class BudgetArgs:
    """How much, who is told, and which tags tell the stack's resources from others."""

    settings: BudgetSettings
    tags: Mapping[str, str]
    """Those of every resource of the stack."""
    watched: str
    """The key of the one that a monitor of anomalies looks for: it takes one, not several at once."""


class Budget(pulumi.ComponentResource):
    """A budget of a month, and a monitor of what costs unexpectedly much where that is asked for."""

    def __init__(self, name: str, args: BudgetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:Budget", name, None, opts)
        self._full = f"{pulumi.get_project()}-{pulumi.get_stack()}"
        self._own = pulumi.ResourceOptions(parent=self)
        self._create_budget(name, args)
        if args.settings.anomaly is not None:
            self._watch(name, args, args.settings.anomaly)
        self.register_outputs({})

    def _create_budget(self, name: str, args: BudgetArgs) -> None:
        chosen = args.settings
        expression = aws.budgets.BudgetFilterExpressionArgs(
            ands=[
                aws.budgets.BudgetFilterExpressionAndArgs(
                    tags=aws.budgets.BudgetFilterExpressionAndTagsArgs(key=key, values=[value])
                )
                for key, value in args.tags.items()
            ]
        )
        aws.budgets.Budget(
            name,
            name=self._full,
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=_amount(chosen.monthly),
            limit_unit=chosen.currency,
            filter_expression=expression,
            metrics="UnblendedCost",
            notifications=[
                aws.budgets.BudgetNotificationArgs(
                    notification_type=kind,
                    comparison_operator="GREATER_THAN",
                    threshold=percent,
                    threshold_type="PERCENTAGE",
                    subscriber_email_addresses=list(chosen.notify),
                )
                for kind, percent in LIMITS
            ],
            opts=self._own,
        )

    def _watch(self, name: str, args: BudgetArgs, above: float) -> None:
        """Tell once a day of what costs more than AWS learned to expect, and by more than `above`."""
        monitor = aws.costexplorer.AnomalyMonitor(
            name,
            name=self._full,
            monitor_type="CUSTOM",
            monitor_specification=_specification(args.watched, args.tags[args.watched]),
            opts=pulumi.ResourceOptions.merge(self._own, pulumi.ResourceOptions(ignore_changes=READ_BACK)),
        )
        impact = aws.costexplorer.AnomalySubscriptionThresholdExpressionDimensionArgs(
            key="ANOMALY_TOTAL_IMPACT_ABSOLUTE", match_options=["GREATER_THAN_OR_EQUAL"], values=[_amount(above)]
        )
        aws.costexplorer.AnomalySubscription(
            name,
            name=self._full,
            # Mail is sent once a day or week; at once a topic alone is told.
            frequency="DAILY",
            monitor_arn_lists=[monitor.arn],
            subscribers=[
                aws.costexplorer.AnomalySubscriptionSubscriberArgs(type="EMAIL", address=one)
                for one in args.settings.notify
            ],
            threshold_expression=aws.costexplorer.AnomalySubscriptionThresholdExpressionArgs(dimension=impact),
            opts=self._own,
        )


def _specification(key: str, value: str) -> str:
    """Return what a monitor looks for, with the fields that it does not use as the provider reads them back."""
    tags = {"Key": key, "MatchOptions": None, "Values": [value]}
    unused = dict.fromkeys(("And", "CostCategories", "Dimensions", "Not", "Or"))
    return json.dumps({**unused, "Tags": tags}, sort_keys=True)


def _amount(money: float) -> str:
    """Return money as text, to the cent and without zeros after it."""
    return f"{money:.2f}".rstrip("0").rstrip(".")
