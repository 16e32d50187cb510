"""Asks a server through KServe's SDK and prints what it was told, as JSON: `ask.py URL [GRPC_ADDRESS]`."""

import asyncio
import json
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

ROWS = np.array([[0.25, -1, 3.5, 2], [1, 2, 3, 4]], np.float32)


def request(*, binary: bool, model: str = "linear", name: str = "x") -> InferRequest:
    tensor = InferInput(name, list(ROWS.shape), "FP32")
    tensor.set_data_from_numpy(ROWS, binary_data=binary)
    wanted = [RequestedOutput("y", {"binary_data": binary})]
    return InferRequest(model, [tensor], request_id="order-7", request_outputs=wanted)


def told(answer: Any) -> dict[str, Any]:
    (output,) = answer.outputs
    return {
        "id": answer.id,
        "model": answer.model_name,
        "version": answer.model_version,
        "output": [output.name, output.datatype, list(output.shape)],
        "data": output.as_numpy().tolist(),
    }


async def over_http(url: str) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    found = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model ready": await client.is_model_ready(url, "linear"),
        "absent ready": await client.is_model_ready(url, "absent"),
        "json": told(await client.infer(url, request(binary=False), model_name="linear")),
        "bytes": told(await client.infer(url, request(binary=True), model_name="linear")),
    }
    try:
        await client.infer(url, request(binary=False, name="z"), model_name="linear")
    except httpx.HTTPStatusError as error:
        found["wrong"] = [error.response.status_code, str(error)]
    await client.close()
    return found


async def over_grpc(address: str) -> dict[str, Any]:
    async with InferenceGRPCClient(address) as client:
        return {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model ready": await client.is_model_ready("linear"),
            "bytes": told(await client.infer(request(binary=True))),
        }


async def ask(url: str, *address: str) -> dict[str, Any]:
    found = {"http": await over_http(url)}
    if address:
        found["grpc"] = await over_grpc(*address)
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(ask(*sys.argv[1:]))))
