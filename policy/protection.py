"""What holds data in production goes only when someone has said so twice."""

from __future__ import annotations

from collections.abc import Iterator

from policy.rule import Facts, Finding, Resource, Rule

STATEFUL = (
    "kubernetes:core/v1:PersistentVolumeClaim",
    "aws:s3/bucket:Bucket",
    "aws:s3/bucketV2:BucketV2",
    "aws:rds/instance:Instance",
    "aws:rds/cluster:Cluster",
    "aws:rds/globalCluster:GlobalCluster",
    "aws:docdb/cluster:Cluster",
    "aws:neptune/cluster:Cluster",
    "aws:redshift/cluster:Cluster",
    "aws:dynamodb/table:Table",
    "aws:elasticache/replicationGroup:ReplicationGroup",
    "aws:opensearch/domain:Domain",
    "aws:efs/fileSystem:FileSystem",
    "aws:ebs/volume:Volume",
    "aws:ecr/repository:Repository",
    "aws:kms/key:Key",
    "aws:eks/cluster:Cluster",
)


def protected(resource: Resource, facts: Facts) -> Iterator[Finding]:
    """Find resources whose loss loses data, and that a change to the program would delete."""
    if facts.prod and not resource.protect and _is_stateful(resource):
        remedy = "set ResourceOptions(protect=True); `pulumi state unprotect` is asked before it can go"
        yield Finding("options.protect", "is not set", remedy)


def _is_stateful(resource: Resource) -> bool:
    if resource.type == "kubernetes:apps/v1:StatefulSet":
        return bool(resource.at("spec", "volumeClaimTemplates").each())
    return resource.type in STATEFUL


RULES = (Rule("protect-stateful", "What holds data in prod is protected from deletion", "mandatory", protected),)
