"""What AWS would refuse of a whole stack's inputs, refused by moto: so that what it takes says something."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from tests.components.aws_whole import WholeAccount, whole
from tests.components.programs import Object, Run, stack_in
from tests.components.test_aws_contract import emulation

# Of these alone, which need nothing of the others: an account with all of IAM takes seconds to make.
ALONE = (
    "aws:kms/",
    "aws:s3/",
    "aws:cloudtrail/",
    "aws:backup/vault",
    "aws:backup/plan:",
    "aws:wafv2/webAcl:",
    "aws:acm/",
)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return stack_in(tmp_path_factory.mktemp("data"), whole(), stack="prod")


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[WholeAccount]:
    with emulation(monkeypatch, policies=False):
        yield WholeAccount()


def make(run: Run, account: WholeAccount, kind: str = "", wrong: Object | None = None) -> None:
    """Make those resources, with other inputs where the type ends so."""
    for one in run.made:
        if one.type.startswith(ALONE):
            changed = wrong if kind and wrong and one.type.endswith(kind) else {}
            account.make(replace(one, inputs={**one.inputs, **changed}))


def test_as_they_are_they_are_taken(run: Run, account: WholeAccount) -> None:
    make(run, account)
    assert len(account.s3.list_buckets()["Buckets"]) == 3


@pytest.mark.parametrize(
    ("kind", "wrong", "refusal"),
    [
        (":Trail", {"s3BucketName": "of-nobody"}, "S3BucketDoesNotExistException"),
        (":VaultLockConfiguration", {"changeableForDays": 2}, "InvalidParameterValueException"),
        (":VaultLockConfiguration", {"backupVaultName": "other"}, "ResourceNotFoundException"),
    ],
)
def test_what_aws_would_refuse_is_refused(
    run: Run, account: WholeAccount, kind: str, wrong: Object, refusal: str
) -> None:
    with pytest.raises(ClientError) as caught:
        make(run, account, kind, wrong)
    assert caught.value.response["Error"]["Code"] == refusal


def test_a_rule_of_the_firewall_that_the_api_does_not_know_is_refused(run: Run, account: WholeAccount) -> None:
    rules = run.of("WebAcl")["front-door"]["rules"]
    wrong = [{**one, "statement": {"rateLimitedStatement": {}}} for one in rules]
    with pytest.raises(ParamValidationError, match="RateLimitedStatement"):
        make(run, account, ":WebAcl", {"rules": wrong})
