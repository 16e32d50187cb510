"""The model in TorchServe, over the Open Inference Protocol's JSON (`/v2/models/NAME/infer`); torch alone is needed."""

import json
from pathlib import Path
from typing import Any

import torch

DTYPES = {"FP32": torch.float32, "FP16": torch.float16, "INT64": torch.int64, "INT32": torch.int32}


class Handler:
    """Answers a batch of requests by one run of the model."""

    def initialize(self, context: Any) -> None:
        """Load the TorchScript that the manifest names, and the contract beside it."""
        folder = Path(context.system_properties["model_dir"])
        gpu = context.system_properties.get("gpu_id")
        self._device = f"cuda:{gpu}" if gpu is not None and torch.cuda.is_available() else "cpu"
        self._model = torch.jit.load(str(folder / context.manifest["model"]["serializedFile"]), self._device).eval()
        contract = json.loads((folder / "model.json").read_bytes())
        tokens = contract.get("tokens")
        ids = {"datatype": "INT64", "shape": [-1, -1]}
        self._input = {"name": tokens["input"], **ids} if tokens else contract["inputs"][0]
        self._output = contract["outputs"][0]
        self._named = {"model_name": contract["name"], "model_version": contract["version"]}

    def handle(self, requests: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
        """Return one answer a request, in their order; a misshapen one gets its error, the others their answer."""
        read = [self._read(one) for one in requests]
        for at, one in enumerate(read):
            if isinstance(one, dict):
                context.set_response_status(400, "Bad Request", at)
        asked = [one for one in read if isinstance(one, torch.Tensor)]
        answers = iter(self._answers(asked))
        return [next(answers) if isinstance(one, torch.Tensor) else one for one in read]

    def _answers(self, asked: list[Any]) -> list[dict[str, Any]]:
        # Requests whose samples differ in length cannot share a run.
        if len({one.shape[1:] for one in asked}) > 1:
            return [answer for one in asked for answer in self._answers([one])]
        if not asked:
            return []
        with torch.inference_mode():
            rows = self._model(torch.cat(asked).to(self._device)).float().cpu()
        return [self._told(part) for part in rows.split([len(one) for one in asked])]

    def _read(self, request: dict[str, Any]) -> Any:
        try:
            body: Any = request.get("body") or request.get("data")
            document = body if isinstance(body, dict) else json.loads(body)
            (given,) = document["inputs"]
            if not self._fits(given):
                told = {key: given[key] for key in ("name", "datatype", "shape")}
                return {"error": f"inputs: {told} is not {self._input}; send that"}
            return torch.tensor(given["data"], dtype=DTYPES[given["datatype"]]).reshape(given["shape"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            return {"error": f"inputs: {error}; send one tensor with name, datatype, shape and data"}

    def _fits(self, given: dict[str, Any]) -> bool:
        wanted, shape = self._input["shape"], given["shape"]
        if any(given[key] != self._input[key] for key in ("name", "datatype")) or len(shape) != len(wanted):
            return False
        return all(one in (-1, size) for one, size in zip(wanted, shape, strict=True))

    def _told(self, rows: Any) -> dict[str, Any]:
        output = {"name": self._output["name"], "datatype": "FP32", "shape": list(rows.shape)}
        return {**self._named, "outputs": [{**output, "data": rows.flatten().tolist()}]}
