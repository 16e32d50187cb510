"""Volumes: what claims of the cluster get where they name no class."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as k8s

NAME = "modelstack"
DEFAULT = "storageclass.kubernetes.io/is-default-class"


def volumes(tags: Mapping[str, str], opts: pulumi.ResourceOptions) -> k8s.storage.v1.StorageClass:
    """Return the cluster's default class: encrypted volumes of EBS with these tags.

    Parameters: https://github.com/kubernetes-sigs/aws-ebs-csi-driver/blob/master/docs/parameters.md
    """
    marked = {f"tagSpecification_{number}": f"{key}={value}" for number, (key, value) in enumerate(tags.items(), 1)}
    return k8s.storage.v1.StorageClass(
        NAME,
        metadata={"name": NAME, "annotations": {DEFAULT: "true"}},
        provisioner="ebs.csi.aws.com",
        parameters={"type": "gp3", "encrypted": "true", **marked},
        # The volume is made in the zone of the node that its pod is given.
        volume_binding_mode="WaitForFirstConsumer",
        allow_volume_expansion=True,
        opts=opts,
    )
