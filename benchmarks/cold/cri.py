"""Images on the embedded platform's node, removed by the call that the kubelet uses itself.

Source: https://github.com/kubernetes/cri-api/blob/master/pkg/apis/runtime/v1/api.proto, ImageService.
"""

from __future__ import annotations

from pathlib import Path

import grpc

SOCKET = "run/containerd/containerd.sock"
SECONDS = 60.0


def remove_image(node_root: Path, image: str) -> None:
    """Remove an image and what no other image holds of it; one that is not there is no error."""
    with grpc.insecure_channel(f"unix://{node_root / SOCKET}") as channel:
        remove = channel.unary_unary("/runtime.v1.ImageService/RemoveImage")
        # RemoveImageRequest{image: ImageSpec{image}}: both are field 1, and each a length before its bytes.
        remove(_field_1(_field_1(image.encode())), timeout=SECONDS)


def _field_1(value: bytes) -> bytes:
    length, rest = bytearray(), len(value)
    while rest > 0x7F:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    return b"\x0a" + bytes(length) + bytes([rest]) + value
