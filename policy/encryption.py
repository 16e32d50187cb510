"""What lies on a disk is encrypted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from policy.node import Node
from policy.rule import Facts, Finding, Resource, Rule, StackRule, bad

# Type → the properties that have to be true.
SWITCHES: Mapping[str, tuple[str, ...]] = {
    "aws:ebs/volume:Volume": ("encrypted",),
    "aws:efs/fileSystem:FileSystem": ("encrypted",),
    "aws:rds/instance:Instance": ("storageEncrypted",),
    "aws:rds/cluster:Cluster": ("storageEncrypted",),
    "aws:docdb/cluster:Cluster": ("storageEncrypted",),
    "aws:neptune/cluster:Cluster": ("storageEncrypted",),
    "aws:redshift/cluster:Cluster": ("encrypted",),
    "aws:elasticache/replicationGroup:ReplicationGroup": ("atRestEncryptionEnabled", "transitEncryptionEnabled"),
}
BUCKETS = ("aws:s3/bucket:Bucket", "aws:s3/bucketV2:BucketV2")
OF_BUCKETS = (
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
    "aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2",
)
EBS = ("ebs.csi.aws.com", "kubernetes.io/aws-ebs")
TRUE = (True, "true")


def encryption(resource: Resource, _facts: Facts) -> Iterator[Finding]:
    """Find disks, databases, caches and registries in the clear."""
    nodes = [resource.at(key) for key in SWITCHES.get(resource.type, ())]
    for node in (*nodes, *_disks(resource)):
        if node.is_other_than(*TRUE):
            yield bad(node, "set true")
    if resource.type == "aws:ecr/repository:Repository":
        yield from _repository(resource.at("encryptionConfigurations"))
    elif resource.type == "aws:eks/cluster:Cluster":
        yield from _secrets(resource.at("encryptionConfig"))
    elif resource.type == "aws:elasticache/cluster:Cluster":
        yield from _lone_cache(resource)


def _disks(resource: Resource) -> Iterator[Node]:
    if resource.type == "aws:ec2/launchTemplate:LaunchTemplate":
        disks = (one.at("ebs") for one in resource.at("blockDeviceMappings").each())
        yield from (one.at("encrypted") for one in disks if one.known)
    elif resource.type == "aws:ec2/instance:Instance":
        yield resource.at("rootBlockDevice", "encrypted")
        yield from (one.at("encrypted") for one in resource.at("ebsBlockDevices").each())
    elif resource.type == "kubernetes:storage.k8s.io/v1:StorageClass" and resource.at("provisioner").value in EBS:
        yield resource.at("parameters", "encrypted")


def _repository(configurations: Node) -> Iterator[Finding]:
    kinds = [one.at("encryptionType") for one in configurations.each()]
    if configurations.absent or configurations.value == []:
        yield bad(configurations.at("encryptionType"), "set [{encryptionType: KMS, kmsKey}]")
    for kind in kinds:
        if kind.is_other_than("KMS", "KMS_DSSE"):
            yield bad(kind, "set KMS, with a kmsKey")


def _lone_cache(resource: Resource) -> Iterator[Finding]:
    engine = resource.at("engine")
    if engine.value in ("redis", "valkey") and resource.at("replicationGroupId").absent:
        yield bad(engine, "use a ReplicationGroup", "cannot be encrypted at rest as a Cluster")


def _secrets(config: Node) -> Iterator[Finding]:
    covered = config.at("resources")
    if covered.absent or (covered.known and "secrets" not in covered.value):
        yield bad(covered, "set {provider: {keyArn}, resources: [secrets]}")


def buckets(resources: Sequence[Resource], _facts: Facts) -> Iterator[Finding]:
    """Find buckets that no configuration gives a key."""
    ruled = [one for one in resources if one.type in OF_BUCKETS]
    named = {one.at("bucket").text for one in ruled}
    leaned_on = {urn for one in ruled for urn in one.dependencies}
    for one in resources:
        if one.type not in BUCKETS or one.urn in leaned_on or one.at("bucket").text in named - {""}:
            continue
        inline = one.at("serverSideEncryptionConfiguration")
        if inline.absent:
            remedy = "add a BucketServerSideEncryptionConfiguration with aws:kms"
            yield Finding(inline.path, "is missing", remedy, one)


RULES = (
    Rule("encryption", "What lies on a disk is encrypted, and so are a cluster's Secrets", "mandatory", encryption),
)
STACK_RULES = (StackRule("bucket-encryption", "Buckets have a key of their own", "mandatory", buckets),)
