"""Cases of AWS: what roles may do, and what lies on disks."""

from __future__ import annotations

from typing import Any

from tests.policy.case import Case
from tests.policy.judging import Given, Object

ROLE = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
PULL = {"Effect": "Allow", "Action": ["ecr:BatchGetImage"], "Resource": "*"}


def _broad(type_: str, properties: Object, *change: Any) -> Case:
    return Case("no-broad-permissions", Given(type_, properties), *change)


PERMISSIONS = [
    _broad(
        *(ROLE, {"policyArn": "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly"}),
        *("policyArn", "arn:aws:iam::aws:policy/AmazonS3FullAccess", "AmazonS3FullAccess' allows everything"),
    ),
    _broad(
        *(ROLE, {"policyArn": "arn:aws:iam::1:policy/own"}),
        *("policyArn", "arn:aws:iam::aws:policy/AdministratorAccess", "policyArn: "),
    ),
    _broad(
        *("aws:iam/role:Role", {"managedPolicyArns": ["arn:aws:iam::1:policy/own"]}),
        *("managedPolicyArns.0", "arn:aws:iam::aws:policy/AmazonEKSFullAccess", "managedPolicyArns[0]"),
    ),
    _broad(
        *("aws:iam/policy:Policy", {"policy": '{"Statement": {"Effect": "Allow", "Action": "s3:GetObject"}}'}),
        *(
            "policy",
            '{"Statement": {"Effect": "Allow", "Action": "s3:*"}}',
            "policy.Statement[0].Action: 's3:*' is a wild",
        ),
    ),
    _broad(
        *("aws:iam/rolePolicy:RolePolicy", {"policy": {"Statement": [PULL]}}),
        *("policy.Statement.0.Action.0", "ecr:Get*", "policy.Statement[0].Action: 'ecr:Get*' is a wildcard"),
    ),
    _broad(
        *("aws:iam/role:Role", {"inlinePolicies": [{"policy": {"Statement": [PULL]}}]}),
        *("inlinePolicies.0.policy.Statement.0.NotAction", ["iam:*"], "NotAction: allows whatever is not named"),
    ),
]


def _clear(type_: str, properties: Object, *change: Any) -> Case:
    return Case("encryption", Given(type_, properties), *change)


ENCRYPTION = [
    _clear("aws:ebs/volume:Volume", {"encrypted": True}, "encrypted", None, "encrypted: is missing; set true"),
    _clear(
        "aws:rds/instance:Instance", {"storageEncrypted": True}, "storageEncrypted", False, "storageEncrypted: False"
    ),
    _clear(
        "aws:rds/cluster:Cluster", {"storageEncrypted": True}, "storageEncrypted", None, "storageEncrypted: is missing"
    ),
    _clear(
        *("aws:elasticache/replicationGroup:ReplicationGroup",),
        {"atRestEncryptionEnabled": True, "transitEncryptionEnabled": True},
        *("transitEncryptionEnabled", False, "transitEncryptionEnabled: False; set true"),
    ),
    _clear("aws:elasticache/cluster:Cluster", {"engine": "memcached"}, "engine", "redis", "engine: 'redis' cannot be"),
    _clear(
        *("aws:ec2/launchTemplate:LaunchTemplate", {"blockDeviceMappings": [{"ebs": {"encrypted": "true"}}]}),
        *("blockDeviceMappings.0.ebs.encrypted", "false", "blockDeviceMappings[0].ebs.encrypted: 'false'"),
    ),
    _clear(
        "aws:ec2/instance:Instance",
        {"rootBlockDevice": {"encrypted": True}},
        "rootBlockDevice",
        {},
        "rootBlockDevice.e",
    ),
    _clear(
        *("aws:ecr/repository:Repository", {"encryptionConfigurations": [{"encryptionType": "KMS"}]}),
        *("encryptionConfigurations", None, "encryptionConfigurations.encryptionType: is missing"),
    ),
    _clear(
        *("aws:ecr/repository:Repository", {"encryptionConfigurations": [{"encryptionType": "KMS"}]}),
        *(
            "encryptionConfigurations.0.encryptionType",
            "AES256",
            "encryptionConfigurations[0].encryptionType: 'AES256'",
        ),
    ),
    _clear(
        *("aws:eks/cluster:Cluster", {"encryptionConfig": {"resources": ["secrets"]}}),
        *("encryptionConfig", None, "encryptionConfig.resources: is missing"),
    ),
    _clear(
        *("kubernetes:storage.k8s.io/v1:StorageClass",),
        {"provisioner": "ebs.csi.aws.com", "parameters": {"encrypted": "true"}},
        *("parameters", {"type": "gp3"}, "parameters.encrypted: is missing"),
    ),
]
