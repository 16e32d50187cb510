"""Kinds of resources, by how they cost."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping

NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
# Type → where its instance type lies.
SIZED: Mapping[str, str] = {
    "aws:ec2/instance:Instance": "instanceType",
    "aws:rds/instance:Instance": "instanceClass",
    "aws:rds/clusterInstance:ClusterInstance": "instanceClass",
    "aws:elasticache/replicationGroup:ReplicationGroup": "nodeType",
}
# Sized ones whose disks cost besides.
DISKS_TOO = ("aws:ec2/instance:Instance", "aws:rds/instance:Instance")
# What costs by what lies in it or goes through it alone, and what does so beside a price of its own.
BY_USE = (
    "aws:ecr/repository:Repository",
    "aws:cloudwatch/logGroup:LogGroup",
    "aws:s3/bucket:Bucket",
    "aws:s3/bucketV2:BucketV2",
    "aws:s3/bucketObject:BucketObject",
    "aws:s3/bucketObjectv2:BucketObjectv2",
    "aws:cloudfront/distribution:Distribution",
    "aws:cloudtrail/trail:Trail",
    "aws:backup/vault:Vault",
    "aws:sqs/queue:Queue",
)
USED_TOO = (
    "aws:ec2/natGateway:NatGateway",
    "aws:ec2/vpcEndpoint:VpcEndpoint",
    "aws:lb/loadBalancer:LoadBalancer",
)
# What AWS asks nothing for; the pages of pricing of each service say so.
FREE = (
    "aws:iam/*",
    "aws:ec2/vpc:Vpc",
    "aws:ec2/*subnet*",
    "aws:ec2/route:*",
    "aws:ec2/routeTable*",
    "aws:ec2/defaultRouteTable:*",
    "aws:ec2/mainRouteTableAssociation:*",
    "aws:ec2/*internetGateway*",
    "aws:ec2/*[sS]ecurityGroup*",
    "aws:ec2/networkAcl*",
    "aws:ec2/flowLog:*",
    "aws:ec2/placementGroup:*",
    "aws:vpc/securityGroup*",
    TEMPLATE,
    "aws:eks/access*",
    "aws:eks/addon:*",
    "aws:eks/podIdentityAssociation:*",
    "aws:ecr/*[pP]olicy*",
    "aws:ecr/pullThroughCacheRule:*",
    "aws:ecr/replicationConfiguration:*",
    "aws:kms/alias:*",
    "aws:kms/grant:*",
    "aws:acm/*",
    "aws:route53/record:*",
    "aws:lb/listener*",
    "aws:lb/targetGroup*",
    "aws:s3/bucketAcl*",
    "aws:s3/bucketCors*",
    "aws:s3/bucketLifecycle*",
    "aws:s3/bucketLogging*",
    "aws:s3/bucketNotification:*",
    "aws:s3/bucketObjectLock*",
    "aws:s3/bucketOwnershipControls:*",
    "aws:s3/bucketPolicy:*",
    "aws:s3/bucketPublicAccessBlock:*",
    "aws:s3/bucketRequestPayment*",
    "aws:s3/bucketServerSideEncryption*",
    "aws:s3/bucketVersioning*",
    "aws:s3/bucketWebsite*",
    "aws:backup/plan:*",
    "aws:backup/selection:*",
    "aws:backup/vault[A-Z]*",
    "aws:autoscaling/tag:*",
    "aws:cloudwatch/event*",
    "aws:sqs/queuePolicy:*",
    "aws:budgets/budget:*",
    "aws:costexplorer/*",
)
# Kinds whose pods go on until something ends them, those whose pods end by themselves or run for somebody's work, and
# what costs without pods.
LASTING = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Rollout")
ENDING = ("Pod", "Job", "CronJob", "PyTorchJob", "TFJob", "MPIJob", "TrainJob", "RayJob", "RayCluster", "RayService")
COSTLY = ("Service", "PersistentVolumeClaim", "NodePool")
CHARTS, KSERVE = "kubernetes:helm.sh/", ":serving.kserve.io/"
ROOMS = ("predictor", "transformer", "explainer")
BALANCERS = {"network": "network-load-balancer", "application": "application-load-balancer"}


def may_cost(type_: str) -> bool:
    """Return whether a resource of a type can cost anything."""
    kind = type_.rpartition(":")[2]
    if type_.startswith("kubernetes:"):
        return kind in (*LASTING, *ENDING, *COSTLY) or type_.startswith(CHARTS) or KSERVE in type_
    return type_.startswith("aws:") and not any(fnmatch.fnmatchcase(type_, one) for one in FREE)
