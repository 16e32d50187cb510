"""A stack in AWS whose settings ask for everything that there is, and the account of moto that takes it."""

from __future__ import annotations

from typing import Any

import boto3

from tests.components.aws_spelling import attributes_of, distribution_of, pascal
from tests.components.programs import NODES_GROUP, Object
from tests.components.test_aws import ACCOUNT, REGION, config
from tests.components.test_aws_contract import Account

HOST, ZONE = "models.example.com", "Z0123456789ABC"
LOGIN = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:ecr-pullthroughcache/docker-hub-Ab12Cd"
TLS: Object = {"secret": "models-tls"}  # pragma: allowlist secret
WHOLE: Object = {
    "apiFrom": ["203.0.113.0/24"],
    "audit": {"days": 731},
    "backup": {"lock": "compliance"},
    "ecr": {
        "scanning": "enhanced",
        "pullThrough": {
            "quay": {"registry": "quay.io"},
            "docker-hub": {"registry": "registry-1.docker.io", "secret": LOGIN},
        },
        "replicateTo": ["eu-west-1"],
    },
    "podLogs": {"archiveDays": 365},
    "secrets": {
        "operator": f"arn:aws:iam::{ACCOUNT}:role/external-secrets",
        "secrets": {
            "models-tls": {
                "type": "kubernetes.io/tls",
                "keys": {
                    "tls.crt": {"name": "prod/models", "property": "certificate"},
                    "tls.key": {"name": "prod/models", "property": "key"},
                },
            },
            "upstream": {"keys": {"token": {"name": "prod/upstream"}}},
        },
    },
    "frontDoor": {"host": HOST, "zone": ZONE, "public": True, "latency": True, "cdn": {"host": "info.example.com"}},
}
# The resources of these that the front door makes, and by which anyone reaches it.
AGENT = {"policy": "pod-security-restricted", "resource": "fluent-bit", "reason": "reads the files of the node's pods"}
PUBLIC = {"policy": "no-public-endpoint", "resource": "front-door*", "reason": "clients come in here, keys are asked"}


def whole(**others: Any) -> Object:
    """Return the configuration of the stack."""
    return config(
        WHOLE,
        gateway={"enabled": True, "keys": {"shop": {"sha256": "0" * 64}}, "tls": TLS},
        **others,
    )


class WholeAccount(Account):
    """What of it moto emulates beside the ground."""

    def __init__(self) -> None:
        super().__init__()
        clients = ("autoscaling", "backup", "cloudfront", "cloudtrail", "elbv2", "route53", "s3", "wafv2")
        (
            self.autoscaling,
            self.backup,
            self.cloudfront,
            self.cloudtrail,
            self.elbv2,
            self.route53,
            self.s3,
            self.wafv2,
        ) = (boto3.client(one, region_name=REGION) for one in clients)
        zone = self.route53.create_hosted_zone(Name="example.com", CallerReference="a")["HostedZone"]["Id"]
        self._known[ZONE] = zone.rpartition("/")[2]

    def cluster(self, name: str, given: Object) -> Object:
        made = super().cluster(name, given)
        # EKS makes this group itself.
        vpc = self.ec2.describe_subnets(SubnetIds=given["vpcConfig"]["subnetIds"])["Subnets"][0]["VpcId"]
        group = self.ec2.create_security_group(GroupName="eks-nodes", Description="of nodes", VpcId=vpc)
        self._known[NODES_GROUP] = group["GroupId"]
        return made

    def node_group(self, name: str, given: Object) -> None:
        super().node_group(name, given)
        if name == "workers":
            self.autoscaling.create_auto_scaling_group(
                AutoScalingGroupName="eks-workers",
                MinSize=0,
                MaxSize=1,
                LaunchTemplate={"LaunchTemplateId": given["launchTemplate"]["id"], "Version": "$Latest"},
                VPCZoneIdentifier=",".join(given["subnetIds"]),
            )

    def security_group(self, name: str, given: Object) -> Object:
        made = super().security_group(name, given)
        rules = [
            {
                "IpProtocol": one["protocol"],
                "FromPort": one["fromPort"],
                "ToPort": one["toPort"],
                "UserIdGroupPairs": [{"GroupId": group} for group in one["securityGroups"]],
            }
            for one in given.get("egress", [])
        ]
        if rules:
            self.ec2.authorize_security_group_egress(GroupId=made["id"], IpPermissions=rules)
        return made

    def security_group_ingress_rule(self, _: str, given: Object) -> None:
        source = [{"GroupId": given["referencedSecurityGroupId"], "Description": given["description"]}]
        ports = {"FromPort": given["fromPort"], "ToPort": given["toPort"]}
        rule = {"IpProtocol": given["ipProtocol"], **ports, "UserIdGroupPairs": source}
        self.ec2.authorize_security_group_ingress(GroupId=given["securityGroupId"], IpPermissions=[rule])

    def certificate(self, _: str, given: Object) -> Object:
        asked = {"DomainName": given["domainName"], "ValidationMethod": given["validationMethod"]}
        client = boto3.client("acm", region_name=given.get("region", REGION))
        return {"arn": client.request_certificate(**asked)["CertificateArn"]}

    def certificate_validation(self, _: str, given: Object) -> None:
        client = boto3.client("acm", region_name=given.get("region", REGION))
        client.describe_certificate(CertificateArn=given["certificateArn"])

    def record(self, _: str, given: Object) -> None:
        asked = {"Name": given["name"], "Type": given["type"]}
        if "records" in given:
            asked |= {"TTL": given["ttl"], "ResourceRecords": [{"Value": one} for one in given["records"]]}
        for one in given.get("aliases", []):
            evaluated = {"EvaluateTargetHealth": one["evaluateTargetHealth"]}
            asked |= {"AliasTarget": {"DNSName": one["name"], "HostedZoneId": one["zoneId"], **evaluated}}
        if "setIdentifier" in given:
            (policy,) = given["latencyRoutingPolicies"]
            asked |= {"SetIdentifier": given["setIdentifier"], "Region": policy["region"]}
        changes = [{"Action": "CREATE", "ResourceRecordSet": asked}]
        self.route53.change_resource_record_sets(HostedZoneId=given["zoneId"], ChangeBatch={"Changes": changes})

    def web_acl(self, name: str, given: Object) -> Object:
        asked = {key: one for key, one in given.items() if key != "region"}
        client = boto3.client("wafv2", region_name=given.get("region", REGION))
        made = client.create_web_acl(Name=name, **pascal(asked))
        return {"arn": made["Summary"]["ARN"]}

    def web_acl_logging_configuration(self, _: str, given: Object) -> None:
        client = boto3.client("wafv2", region_name=given.get("region", REGION))
        asked = {key: one for key, one in given.items() if key != "region"}
        client.put_logging_configuration(LoggingConfiguration=pascal(asked))

    def distribution(self, _: str, given: Object) -> None:
        made = self.cloudfront.create_distribution(DistributionConfig=distribution_of(given))["Distribution"]
        assert made["DistributionConfig"]["Aliases"]["Items"] == given["aliases"]

    def web_acl_association(self, _: str, given: Object) -> None:
        self.wafv2.associate_web_acl(WebACLArn=given["webAclArn"], ResourceArn=given["resourceArn"])

    def load_balancer(self, name: str, given: Object) -> Object:
        made = self.elbv2.create_load_balancer(
            Name=name,
            Type=given["loadBalancerType"],
            Scheme="internal" if given["internal"] else "internet-facing",
            Subnets=given["subnets"],
            SecurityGroups=given["securityGroups"],
        )["LoadBalancers"][0]["LoadBalancerArn"]
        attributes = {
            "access_logs.s3.enabled": given["accessLogs"]["enabled"],
            "access_logs.s3.bucket": given["accessLogs"]["bucket"],
            "idle_timeout.timeout_seconds": given["idleTimeout"],
            "routing.http.drop_invalid_header_fields.enabled": given["dropInvalidHeaderFields"],
            "routing.http.desync_mitigation_mode": given["desyncMitigationMode"],
            "deletion_protection.enabled": given["enableDeletionProtection"],
        }
        self.elbv2.modify_load_balancer_attributes(LoadBalancerArn=made, Attributes=attributes_of(attributes))
        return {"id": made, "arn": made}

    def target_group(self, name: str, given: Object) -> Object:
        health = given["healthCheck"]
        made = self.elbv2.create_target_group(
            Name=name,
            Protocol=given["protocol"],
            Port=given["port"],
            VpcId=given["vpcId"],
            TargetType=given["targetType"],
            HealthCheckProtocol=health["protocol"],
            HealthCheckPath=health["path"],
            HealthCheckIntervalSeconds=health["interval"],
            HealthyThresholdCount=health["healthyThreshold"],
            UnhealthyThresholdCount=health["unhealthyThreshold"],
            Matcher={"HttpCode": health["matcher"]},
        )["TargetGroups"][0]["TargetGroupArn"]
        attributes = {
            "deregistration_delay.timeout_seconds": given["deregistrationDelay"],
            "load_balancing.algorithm.type": given["loadBalancingAlgorithmType"],
        }
        self.elbv2.modify_target_group_attributes(TargetGroupArn=made, Attributes=attributes_of(attributes))
        return {"id": made, "arn": made}

    def attachment(self, _: str, given: Object) -> None:
        self.autoscaling.attach_load_balancer_target_groups(
            AutoScalingGroupName=given["autoscalingGroupName"], TargetGroupARNs=[given["lbTargetGroupArn"]]
        )

    def listener(self, _: str, given: Object) -> None:
        known = {one["Name"] for one in self.elbv2.describe_ssl_policies()["SslPolicies"]}
        assert given["sslPolicy"] in known
        self.elbv2.create_listener(
            LoadBalancerArn=given["loadBalancerArn"],
            Protocol=given["protocol"],
            Port=given["port"],
            SslPolicy=given["sslPolicy"],
            Certificates=[{"CertificateArn": given["certificateArn"]}],
            DefaultActions=pascal(given["defaultActions"]),
        )

    def bucket(self, name: str, given: Object) -> Object:
        own = f"{name}-1234567"
        self.s3.create_bucket(Bucket=own, CreateBucketConfiguration={"LocationConstraint": REGION})
        tags = [{"Key": key, "Value": value} for key, value in given.get("tags", {}).items()]
        self.s3.put_bucket_tagging(Bucket=own, Tagging={"TagSet": tags})
        return {"id": own, "arn": f"arn:aws:s3:::{own}"}

    def bucket_versioning(self, _: str, given: Object) -> None:
        configuration = pascal(given["versioningConfiguration"])
        self.s3.put_bucket_versioning(Bucket=given["bucket"], VersioningConfiguration=configuration)

    def bucket_lifecycle_configuration(self, _: str, given: Object) -> None:
        rules = [{("ID" if key == "Id" else key): one for key, one in rule.items()} for rule in pascal(given["rules"])]
        self.s3.put_bucket_lifecycle_configuration(Bucket=given["bucket"], LifecycleConfiguration={"Rules": rules})

    def bucket_server_side_encryption_configuration(self, _: str, given: Object) -> None:
        (rule,) = given["rules"]
        default = rule["applyServerSideEncryptionByDefault"]
        told = {"SSEAlgorithm": default["sseAlgorithm"]}
        told |= {"KMSMasterKeyID": default["kmsMasterKeyId"]} if "kmsMasterKeyId" in default else {}
        configuration = {"Rules": [{"ApplyServerSideEncryptionByDefault": told}]}
        self.s3.put_bucket_encryption(Bucket=given["bucket"], ServerSideEncryptionConfiguration=configuration)

    def bucket_ownership_controls(self, _: str, given: Object) -> None:
        controls = {"Rules": [pascal(given["rule"])]}
        self.s3.put_bucket_ownership_controls(Bucket=given["bucket"], OwnershipControls=controls)

    def bucket_public_access_block(self, _: str, given: Object) -> None:
        keys = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
        configuration = pascal({key: given[key] for key in keys})
        self.s3.put_public_access_block(Bucket=given["bucket"], PublicAccessBlockConfiguration=configuration)

    def bucket_policy(self, _: str, given: Object) -> None:
        self.s3.put_bucket_policy(Bucket=given["bucket"], Policy=given["policy"])

    def key(self, _: str, given: Object) -> Object:
        policy = {"Policy": given["policy"]} if "policy" in given else {}
        made = self.kms.create_key(Description=given["description"], **policy)["KeyMetadata"]
        self.kms.enable_key_rotation(KeyId=made["KeyId"])
        return {"id": made["KeyId"], "arn": made["Arn"]}

    def trail(self, _: str, given: Object) -> None:
        self.cloudtrail.create_trail(
            Name=given["name"],
            S3BucketName=given["s3BucketName"],
            KmsKeyId=given["kmsKeyId"],
            IncludeGlobalServiceEvents=given["includeGlobalServiceEvents"],
            IsMultiRegionTrail=given["isMultiRegionTrail"],
            EnableLogFileValidation=given["enableLogFileValidation"],
        )

    def vault(self, name: str, given: Object) -> Object:
        made = self.backup.create_backup_vault(BackupVaultName=name, EncryptionKeyArn=given["kmsKeyArn"])
        return {"id": name, "arn": made["BackupVaultArn"]}

    def vault_lock_configuration(self, _: str, given: Object) -> None:
        kept = {"MinRetentionDays": given["minRetentionDays"]}
        grace = {"ChangeableForDays": given["changeableForDays"]} if "changeableForDays" in given else {}
        self.backup.put_backup_vault_lock_configuration(BackupVaultName=given["backupVaultName"], **kept, **grace)

    def plan(self, _: str, given: Object) -> Object:
        rules = [
            {
                "RuleName": one["ruleName"],
                "TargetBackupVaultName": one["targetVaultName"],
                "ScheduleExpression": one["schedule"],
                "StartWindowMinutes": one["startWindow"],
                "CompletionWindowMinutes": one["completionWindow"],
                "Lifecycle": {"DeleteAfterDays": one["lifecycle"]["deleteAfter"]},
            }
            for one in given["rules"]
        ]
        made = self.backup.create_backup_plan(BackupPlan={"BackupPlanName": given["name"], "Rules": rules})
        return {"id": made["BackupPlanId"]}

    def registry_scanning_configuration(self, _: str, given: Object) -> None:
        self.ecr.put_registry_scanning_configuration(scanType=given["scanType"], rules=given["rules"])

    def replication_configuration(self, _: str, given: Object) -> None:
        self.ecr.put_replication_configuration(replicationConfiguration=given["replicationConfiguration"])
