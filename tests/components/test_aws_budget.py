"""The budget of a stack in AWS: whom it tells of what, and that AWS' SDK and the provider's types take it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import ParamValidationError
from botocore.stub import Stubber
from moto import mock_aws
from pulumi import _types as sdk

from cost.bill import bill
from cost.lines import Declared
from tests.components.conftest import Program
from tests.components.programs import Monitor, Object, Run, stack_in
from tests.components.test_aws import ACCOUNT, REGION, config, only
from tests.components.test_aws_types import _of_mapping, declared
from tests.test_settings import load, refused

NOTIFY = ["platform@example.com", "cfo@example.com"]
BUDGET: Object = {"monthly": 1500, "notify": NOTIFY}
KINDS = ("aws:budgets/budget:Budget", "aws:costexplorer/anomalyMonitor:AnomalyMonitor")
SUBSCRIPTION = "aws:costexplorer/anomalySubscription:AnomalySubscription"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    given = config({"budget": {**BUDGET, "anomaly": 150.5}})
    return stack_in(tmp_path_factory.mktemp("data"), given, stack="prod")


def made(run: Run, kind: str) -> Object:
    return only({one.name: one.inputs for one in run.made if one.type == kind})


def test_a_stack_without_a_budget_has_none(program: Program) -> None:
    found = program(config(), stack="prod")
    assert not [one for one in found.made if one.type in (*KINDS, SUBSCRIPTION, "modelstack:aws:Budget")]


def test_anomalies_are_watched_where_that_is_asked_for(program: Program) -> None:
    found = program(config({"budget": BUDGET}), stack="prod")
    assert [one.type for one in found.made if one.type in (*KINDS, SUBSCRIPTION)] == [KINDS[0]]


def test_the_budget_is_of_a_month_and_of_what_bears_all_tags_of_the_stack(run: Run) -> None:
    budget = made(run, KINDS[0])
    assert (budget["budgetType"], budget["timeUnit"]) == ("COST", "MONTHLY")
    assert (budget["limitAmount"], budget["limitUnit"]) == ("1500", "USD")
    provider = next(one for one in run.made if one.type == "pulumi:providers:aws")
    tags = json.loads(provider.inputs["defaultTags"])["tags"]
    asked = {one["tags"]["key"]: one["tags"]["values"] for one in budget["filterExpression"]["ands"]}
    assert asked == {key: [value] for key, value in tags.items()}
    assert len(asked) == 2


def test_everybody_is_told_at_80_and_100_percent_and_when_100_are_to_be_expected(run: Run) -> None:
    told = made(run, KINDS[0])["notifications"]
    limits = {(one["notificationType"], one["threshold"], one["thresholdType"]) for one in told}
    assert limits == {
        (kind, percent, "PERCENTAGE") for kind, percent in (("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100))
    }
    assert {one["comparisonOperator"] for one in told} == {"GREATER_THAN"}
    assert all(one["subscriberEmailAddresses"] == NOTIFY for one in told)


def test_mail_of_a_day_tells_of_what_costs_unexpectedly_much(run: Run) -> None:
    monitor, subscription = made(run, KINDS[1]), made(run, SUBSCRIPTION)
    assert json.loads(monitor["monitorSpecification"])["Tags"]["Values"] == ["prod"]
    assert subscription["monitorArnLists"] == ["arn:aws:test:::AnomalyMonitor/budget"]
    assert subscription["frequency"] == "DAILY"
    assert subscription["thresholdExpression"]["dimension"]["values"] == ["150.5"]
    assert [one["address"] for one in subscription["subscribers"]] == NOTIFY


def test_the_monitor_says_all_that_is_read_back_so_that_nothing_replaces_it(run: Run) -> None:
    assert made(run, KINDS[1])["monitorSpecification"] == (
        '{"And": null, "CostCategories": null, "Dimensions": null, "Not": null, "Or": null, '
        '"Tags": {"Key": "modelstack.dev/stack", "MatchOptions": null, "Values": ["prod"]}}'
    )


def test_a_field_more_that_is_read_back_replaces_no_monitor(monkeypatch: pytest.MonkeyPatch, program: Program) -> None:
    ignored: dict[str, list[str]] = {}
    register = Monitor.RegisterResource

    def noted(monitor: Monitor, request: Any) -> Any:
        ignored[request.type] = list(request.ignoreChanges)
        return register(monitor, request)

    monkeypatch.setattr(Monitor, "RegisterResource", noted)
    program(config({"budget": {**BUDGET, "anomaly": 150.5}}), stack="prod")
    assert ignored[KINDS[1]] == ["monitorSpecification"]
    assert (ignored[KINDS[0]], ignored[SUBSCRIPTION]) == ([], [])


def test_every_input_is_of_the_type_that_the_provider_declares(run: Run) -> None:
    found = [one for one in run.made if one.type in (*KINDS, SUBSCRIPTION)]
    assert len(found) == 3
    assert [
        fault for one in found for fault in _of_mapping(one.name, one.inputs, sdk.input_type_types(declared(one)))
    ] == []


@pytest.fixture
def budgets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("budgets", region_name=REGION)


def create(budgets: Any, given: Object) -> None:
    """Make a budget of the inputs that the provider would get."""
    ands = [
        {"Tags": {"Key": one["tags"]["key"], "Values": one["tags"]["values"]}}
        for one in given["filterExpression"]["ands"]
    ]
    notifications = [
        {
            "Notification": {
                "NotificationType": one["notificationType"],
                "ComparisonOperator": one["comparisonOperator"],
                "Threshold": one["threshold"],
                "ThresholdType": one["thresholdType"],
            },
            "Subscribers": [
                {"SubscriptionType": "EMAIL", "Address": address} for address in one["subscriberEmailAddresses"]
            ],
        }
        for one in given["notifications"]
    ]
    budget = {
        "BudgetName": given["name"],
        "BudgetType": given["budgetType"],
        "TimeUnit": given["timeUnit"],
        "BudgetLimit": {"Amount": given["limitAmount"], "Unit": given["limitUnit"]},
        "FilterExpression": {"And": ands},
        "Metrics": [given["metrics"]],
    }
    budgets.create_budget(AccountId=ACCOUNT, Budget=budget, NotificationsWithSubscribers=notifications)


def test_the_budget_is_taken_as_aws_takes_it(run: Run, budgets: Any) -> None:
    create(budgets, made(run, KINDS[0]))
    found = budgets.describe_budget(AccountId=ACCOUNT, BudgetName="modelstack-prod")["Budget"]
    assert float(found["BudgetLimit"]["Amount"]) == 1500
    told = budgets.describe_notifications_for_budget(AccountId=ACCOUNT, BudgetName="modelstack-prod")
    assert len(told["Notifications"]) == 3


@pytest.mark.parametrize("wrong", [{"notifications": [{**BUDGET, "notificationType": 1}]}, {"limitAmount": 1500}])
def test_a_wrong_input_of_a_budget_is_refused(run: Run, budgets: Any, wrong: Object) -> None:
    given = made(run, KINDS[0])
    odd = {
        key: [{**given[key][0], **one} for one in value] if key == "notifications" else value
        for key, value in wrong.items()
    }
    with pytest.raises(ParamValidationError):
        create(budgets, {**given, **odd})


def _said(value: Object) -> Object:
    """Return what is no null, as the provider sends it."""
    said = {key: one for key, one in value.items() if one is not None}
    return {key: _said(one) if isinstance(one, dict) else one for key, one in said.items()}


def test_the_monitor_and_its_subscription_are_calls_that_aws_has(run: Run) -> None:
    """moto emulates neither; AWS' own SDK says what they may hold."""
    client = botocore.session.get_session().create_client(
        "ce", region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    monitor, subscription = made(run, KINDS[1]), made(run, SUBSCRIPTION)
    dimension = subscription["thresholdExpression"]["dimension"]
    with Stubber(client) as stub:
        stub.add_response("create_anomaly_monitor", {"MonitorArn": "arn"})
        client.create_anomaly_monitor(
            AnomalyMonitor={
                "MonitorName": monitor["name"],
                "MonitorType": monitor["monitorType"],
                "MonitorSpecification": _said(json.loads(monitor["monitorSpecification"])),
            }
        )
        stub.add_response("create_anomaly_subscription", {"SubscriptionArn": "arn"})
        client.create_anomaly_subscription(
            AnomalySubscription={
                "SubscriptionName": subscription["name"],
                "Frequency": subscription["frequency"],
                "MonitorArnList": subscription["monitorArnLists"],
                "Subscribers": [
                    {"Type": one["type"], "Address": one["address"]} for one in subscription["subscribers"]
                ],
                "ThresholdExpression": {
                    "Dimensions": {
                        "Key": dimension["key"],
                        "MatchOptions": dimension["matchOptions"],
                        "Values": dimension["values"],
                    }
                },
            }
        )
        stub.assert_no_pending_responses()


def test_a_budget_costs_nothing(run: Run) -> None:
    found = [Declared(one.type, one.name, one.inputs) for one in run.made if one.type in (*KINDS, SUBSCRIPTION)]
    assert bill(found, {"cpu": 1}).lines == ()


def test_settings_of_a_budget_are_read() -> None:
    aws = {"region": REGION, "account": ACCOUNT, "admins": [f"arn:aws:iam::{ACCOUNT}:role/deploy"], "budget": BUDGET}
    found = load(aws=aws, base="b").aws
    assert found is not None
    assert found.budget is not None
    assert (found.budget.monthly, found.budget.currency, found.budget.anomaly) == (1500, "USD", None)


@pytest.mark.parametrize(
    ("budget", "says"),
    [
        ({**BUDGET, "monthly": 0}, "modelstack:aws.budget.monthly: 0: "),
        ({**BUDGET, "notify": []}, "modelstack:aws.budget.notify: []: "),
        ({**BUDGET, "notify": ["nobody"]}, "modelstack:aws.budget.notify.0: "),
        ({**BUDGET, "notify": [f"{n}@example.com" for n in range(11)]}, "modelstack:aws.budget.notify: "),
        ({**BUDGET, "currency": "dollars"}, "modelstack:aws.budget.currency: 'dollars': "),
        ({**BUDGET, "anomaly": -1}, "modelstack:aws.budget.anomaly: -1: "),
        ({"notify": NOTIFY}, "modelstack:aws.budget.monthly: is missing; add it"),
    ],
)
def test_what_is_wrong_with_a_budget_is_told_by_key_and_value(budget: Object, says: str) -> None:
    aws = {"region": REGION, "account": ACCOUNT, "admins": [f"arn:aws:iam::{ACCOUNT}:role/deploy"], "budget": budget}
    assert refused(aws=aws, base="b").startswith(says)
