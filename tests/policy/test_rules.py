"""Each policy of one resource, with what offends it and what does not."""

import pytest

from policy.pack import RULES
from tests.policy.case import Case
from tests.policy.cases import CASES, EXPOSURE, MODEL, OF_PROD, SERVICE
from tests.policy.judging import CLOSED, CONTAINER, POD, Given, Judges, deployment

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # how the engine hands a text over that a preview cannot know


def described(case: Case) -> str:
    return f"{case.policy}-{case.passing.type.rpartition(':')[2]}-{case.path}"


@pytest.mark.parametrize("case", CASES, ids=described)
def test_what_offends_is_told_with_resource_property_and_remedy(case: Case) -> None:
    (message,) = Judges(stack=case.stack).judge(case.policy, case.offending)
    assert message.startswith(f"{case.passing.type} {case.passing.name}: ")
    assert case.said in message
    assert "; " in message
    assert "\n" not in message


@pytest.mark.parametrize("case", CASES, ids=described)
def test_what_does_not_offend_is_let_pass(case: Case) -> None:
    assert Judges(stack=case.stack).judge(case.policy, case.passing) == []


def test_every_policy_of_resources_has_a_case() -> None:
    assert {one.name for one in RULES} == {*(case.policy for case in CASES), "slo-in-prod", "pod-security-restricted"}


@pytest.mark.parametrize("case", OF_PROD, ids=described)
def test_what_is_asked_of_prod_is_not_asked_of_another_stack(case: Case) -> None:
    assert Judges(stack="staging").judge(case.policy, case.offending) == []


def test_a_model_in_prod_without_an_objective_is_refused() -> None:
    told = Judges({"models": {"digits": {"recipe": "r", "slo": {}}}}, "prod").judge("slo-in-prod", MODEL)
    assert len(told) == 1
    assert told[0].startswith(
        "modelstack:index:ModelImage digits: modelstack:models.digits.slo: is missing; set {avail"
    )
    models = {"digits": {"recipe": "r", "slo": {"availability": 0.999, "p99Seconds": 0.1}}}
    assert Judges({"models": models}, "prod").judge("slo-in-prod", MODEL) == []


def test_a_model_whose_text_nothing_measures_is_refused_in_prod() -> None:
    generating = MODEL.having("parsed.gates", {"parity": {"atol": 0.0001}})
    assert len(Judges(stack="prod").judge("gates-in-prod", generating)) == 1


@pytest.mark.parametrize("path", ["spec.template.spec.containers.0.image", "spec.template.spec.containers", "spec"])
def test_what_a_preview_cannot_know_is_not_judged(path: str) -> None:
    assert Judges().all_of(deployment().having(path, UNKNOWN), CLOSED) == {}


def test_a_model_of_which_a_preview_knows_nothing_is_not_judged() -> None:
    objective = {"slo": {"availability": 0.999, "p99Seconds": 0.1}}
    unknown = MODEL.having("parsed", UNKNOWN).having("publicKeys", UNKNOWN)
    assert Judges({"models": {"digits": objective}}, "prod").all_of(unknown) == {}


def test_what_a_patch_leaves_out_is_not_missed() -> None:
    patch = Given(
        "kubernetes:apps/v1:DeploymentPatch", {"spec": {"template": {"spec": {"containers": [{"name": "a"}]}}}}
    )
    judges = Judges()
    for name in ("pod-security-restricted", "requests-and-limits", "probes"):
        assert judges.judge(name, patch) == []


@pytest.mark.parametrize("kind", ["networking.k8s.io/v1:IngressPatch", "gateway.networking.k8s.io/v1:HTTPRoutePatch"])
def test_a_patch_of_a_way_in_need_not_repeat_what_ends_tls(kind: str) -> None:
    patch = Given(f"kubernetes:{kind}", {"metadata": {"labels": {"a": "b"}}})
    assert Judges().judge("no-public-endpoint", patch) == []


def test_a_patch_that_opens_a_service_to_everyone_is_judged() -> None:
    patch = Given("kubernetes:core/v1:ServicePatch", {"spec": {"type": "LoadBalancer"}})
    assert len(Judges().judge("no-public-endpoint", patch)) == 1


def test_annotations_that_a_preview_cannot_know_may_keep_a_load_balancer_inside() -> None:
    given = Given(
        "kubernetes:core/v1:Service", {"metadata": {"annotations": UNKNOWN}, "spec": {"type": "LoadBalancer"}}
    )
    assert Judges().judge("no-public-endpoint", given) == []


def test_what_a_patch_says_is_judged() -> None:
    context = {"securityContext": {"privileged": True}}
    spec = {"template": {"spec": {"containers": [{"name": "a", **context}]}}}
    patch = Given("kubernetes:apps/v1:DeploymentPatch", {"spec": spec})
    (message,) = Judges().judge("pod-security-restricted", patch)
    assert "securityContext.privileged: True" in message


@pytest.mark.parametrize("kind", ["batch/v1:Job", "core/v1:Pod"])
def test_pods_that_end_by_themselves_need_no_probes(kind: str) -> None:
    container = {key: value for key, value in CONTAINER.items() if not key.endswith("Probe")}
    spec = {**POD, "containers": [container]}
    properties = {"spec": spec if kind.endswith("Pod") else {"template": {"spec": spec}}}
    assert Judges().judge("probes", Given(f"kubernetes:{kind}", properties)) == []


def test_containers_that_run_first_need_no_probes() -> None:
    first = {key: value for key, value in CONTAINER.items() if not key.endswith("Probe")}
    assert Judges().judge("probes", deployment(pod={**POD, "initContainers": [first]})) == []


def test_several_pods_that_are_one_replica_are_probed_as_kserve_says() -> None:
    worker = {"containers": [{key: value for key, value in CONTAINER.items() if not key.endswith("Probe")}]}
    shared = SERVICE.having("spec.predictor.workerSpec", worker).having("spec.predictor.model.readinessProbe", None)
    assert Judges().judge("probes", shared) == []


def test_workers_of_kserve_are_judged_as_other_pods_are() -> None:
    worker = {**POD, "containers": [{**CONTAINER, "image": "x:1"}]}
    (message,) = Judges().judge("image-by-digest", SERVICE.having("spec.predictor.workerSpec", worker))
    assert "spec.predictor.workerSpec.containers[0].image: 'x:1'" in message


def test_jobs_of_an_analysis_are_judged() -> None:
    job = {"spec": {"template": {"spec": {**POD, "containers": [{**CONTAINER, "image": "x:1"}]}}}}
    template = {"spec": {"metrics": [{"name": "a", "provider": {"job": job}}, {"provider": {"prometheus": {}}}]}}
    (message,) = Judges().judge("image-by-digest", Given("kubernetes:argoproj.io/v1alpha1:AnalysisTemplate", template))
    assert "spec.metrics[0].provider.job.spec.template.spec.containers[0].image" in message


def test_a_volume_from_a_bucket_is_no_image() -> None:
    assert Judges().judge("image-by-digest", SERVICE.having("spec.predictor.model.storageUri", "s3://b/model")) == []


def test_blue_green_counts_as_a_comparison() -> None:
    labels = {"modelstack.dev/model": "digits"}
    spec = {"strategy": {"blueGreen": {"activeService": "a", "previewService": "b"}}}
    rollout = Given("kubernetes:argoproj.io/v1alpha1:Rollout", {"metadata": {"labels": labels}, "spec": spec})
    assert Judges(stack="prod").judge("canary-in-prod", rollout) == []


def test_a_set_of_pods_without_claims_holds_nothing_to_protect() -> None:
    stateful = Given("kubernetes:apps/v1:StatefulSet", {"spec": {"template": {"spec": POD}}})
    assert Judges(stack="prod").judge("protect-stateful", stateful) == []


def test_spot_instances_are_not_asked_for_in_prod() -> None:
    nodes = Given("aws:eks/nodeGroup:NodeGroup", {"capacityType": "ON_DEMAND"})
    assert Judges(stack="prod").judge("spot-outside-prod", nodes) == []


def test_a_certificate_of_the_load_balancer_counts_as_tls() -> None:
    annotations = {"alb.ingress.kubernetes.io/certificate-arn": "arn:aws:acm:eu-west-1:1:certificate/x"}
    ingress = Given("kubernetes:networking.k8s.io/v1:Ingress", {"metadata": {"annotations": annotations}, "spec": {}})
    assert Judges().judge("no-public-endpoint", ingress) == []


def test_a_rule_for_what_leaves_may_name_everyone() -> None:
    rule = Given("aws:ec2/securityGroupRule:SecurityGroupRule", {"type": "egress", "cidrBlocks": ["0.0.0.0/0"]})
    assert Judges().judge("no-public-endpoint", rule) == []


def test_a_statement_that_denies_may_have_wildcards() -> None:
    document = {"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
    assert Judges().judge("no-broad-permissions", Given("aws:iam/policy:Policy", {"policy": document})) == []


@pytest.mark.parametrize("case", EXPOSURE, ids=described)
def test_an_endpoint_is_judged_in_every_stack(case: Case) -> None:
    assert len(Judges(stack="prod").judge(case.policy, case.offending)) == 1
