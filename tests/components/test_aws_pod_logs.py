"""Where the lines of pods go in AWS, and what reads them: each promise of docs/aws-keeping.md, by resource."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from components import fluent_bit
from tests.components.conftest import Program
from tests.components.programs import Object, Run, stack_in
from tests.components.test_aws import config, only


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    given = config({"podLogs": {"archiveDays": 365}, "logDays": 60})
    return stack_in(tmp_path_factory.mktemp("data"), given, stack="prod")


def configured(run: Run) -> Object:
    found: Object = yaml.safe_load(run.of("ConfigMap")["fluent-bit"]["data"]["fluent-bit.yaml"])
    return found


def allowed(run: Run, name: str) -> Object:
    (found,) = json.loads(run.of("RolePolicy")[name]["policy"])["Statement"]
    return dict(found)


def test_no_line_leaves_the_cluster_unless_that_is_asked_for(program: Program) -> None:
    run = program(config(), stack="prod")
    assert run.of("DaemonSet") == {}
    assert "fluent-bit" not in run.of("PinnedImage")


def test_lines_of_this_stacks_pods_alone_are_read(run: Run) -> None:
    (files,) = configured(run)["pipeline"]["inputs"]
    assert files["path"] == "/var/log/containers/*_modelstack-prod_*.log"
    pattern = re.compile(files["tag_regex"].replace("(?<", "(?P<"))
    found = pattern.search(f"/var/log/containers/digits-7d9-x2_modelstack-prod_server-{'0a' * 32}.log")
    assert found is not None
    assert found.groupdict() == {"pod": "digits-7d9-x2", "namespace": "modelstack-prod", "container": "server"}


def test_a_line_in_json_becomes_fields_by_the_parser_that_is_there(run: Run) -> None:
    (parser,) = configured(run)["parsers"]
    (filtered,) = configured(run)["pipeline"]["filters"]
    assert (filtered["parser"], parser["format"]) == (parser["name"], "json")


def test_no_line_is_left_out_since_its_file_was_found_late(run: Run) -> None:
    (files,) = configured(run)["pipeline"]["inputs"]
    assert (files["read_from_head"], files["db"]) == ("on", "/state/files.db")


def test_what_aws_does_not_take_is_sent_again_for_days(run: Run) -> None:
    # The wait between two tries grows to 2,000 s.
    for one in configured(run)["pipeline"]["outputs"]:
        assert one["retry_limit"] * 2000 > 7 * 86_400


def test_lines_go_to_the_stacks_group_and_its_bucket(run: Run) -> None:
    cloudwatch, archive = configured(run)["pipeline"]["outputs"]
    assert (cloudwatch["log_group_name"], cloudwatch["auto_create_group"]) == ("pod-logs", "off")
    assert run.of("LogGroup")["pod-logs"]["retentionInDays"] == 60
    assert archive["bucket"] == "Bucket/pod-logs"
    (rule,) = run.of("BucketLifecycleConfiguration")["pod-logs"]["rules"]
    assert rule["expiration"] == {"days": 365}


def test_without_an_archive_there_is_no_bucket_and_no_leave_to_write_to_one(program: Program) -> None:
    run = program(config({"podLogs": {}}), stack="prod")
    assert [one["name"] for one in configured(run)["pipeline"]["outputs"]] == ["cloudwatch_logs"]
    assert not [one for one in run.made if one.type.startswith("aws:s3/")]
    assert "pod-logs-archive" not in run.of("RolePolicy")


def test_it_may_write_to_this_stacks_logs_and_nothing_else(run: Run) -> None:
    logs, archive = allowed(run, "pod-logs-logs"), allowed(run, "pod-logs-archive")
    group = "arn:aws:test:::LogGroup/pod-logs"
    assert (logs["Action"], logs["Resource"]) == (["logs:CreateLogStream", "logs:PutLogEvents"], [group, f"{group}:*"])
    assert (archive["Action"], archive["Resource"]) == (["s3:PutObject"], "arn:aws:test:::Bucket/pod-logs/pods/*")
    trust = json.loads(run.of("Role")["pod-logs"]["assumeRolePolicy"])["Statement"][0]
    assert trust["Principal"] == {"Service": "pods.eks.amazonaws.com"}


def test_the_role_is_taken_by_this_service_account_alone(run: Run) -> None:
    taken = only(run.of("PodIdentityAssociation"))
    account = next(name for name in run.of("ServiceAccount") if name == "fluent-bit")
    assert (taken["namespace"], taken["serviceAccount"]) == ("modelstack-prod-logs", account)
    assert only(run.of("DaemonSet"))["spec"]["template"]["spec"]["serviceAccountName"] == account


def test_the_agent_runs_by_digest_on_every_node_and_changes_no_file_but_its_own(run: Run) -> None:
    spec = only(run.of("DaemonSet"))["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["image"].startswith("docker.io/fluent/fluent-bit:5.1.2@sha256:")
    assert spec["tolerations"] == [{"operator": "Exists"}]
    mounts = {one["mountPath"]: one.get("readOnly", False) for one in container["volumeMounts"]}
    assert mounts == {"/etc/fluent-bit": True, "/var/log": True, "/state": False}
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_its_namespace_lets_nobody_in(run: Run) -> None:
    policies = [
        one for one in run.of("NetworkPolicy").values() if one["metadata"]["namespace"] == "modelstack-prod-logs"
    ]
    assert len(policies) == 2
    assert not [one for one in policies if one["spec"].get("ingress")]


def test_a_changed_configuration_starts_the_agents_again(run: Run, program: Program) -> None:
    other = program(config({"podLogs": {}}), stack="prod")
    read = [
        only(one.of("DaemonSet"))["spec"]["template"]["metadata"]["annotations"]["modelstack.dev/config"]
        for one in (run, other)
    ]
    assert read[0] != read[1]
    assert fluent_bit.FILE in run.of("ConfigMap")["fluent-bit"]["data"]
