"""The report as one page that needs nothing else: no script, no font, no network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

from model_build import plots
from model_build.events import figures, quality
from model_build.tasks import TASKS, figure_of

TEMPLATE = "page.html.j2"


def render(report: Mapping[str, Any]) -> str:
    """Return the page of a report; everything from the recipe and its steps is text in it, never markup."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    template = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    metrics, refused = report["metrics"], report.get("refused")
    page: str = template.get_template(TEMPLATE).render(
        name=report["recipe"]["name"],
        verdict=f"refused by {refused['by']}" if refused else _verdict(metrics),
        figure=TASKS[report["recipe"]["task"]].figure,
        inputs=report["inputs"],
        refused=refused,
        cards=_cards(metrics) if metrics else [],
        sections=_sections(report),
        tried=[_figures(one) | {"lost": one["lost"]} for one in report["facts"].get("search", {}).get("tried", [])],
        steps=[_step(row, report["facts"].get(row["name"], {})) for row in report["steps"]],
        recipe=yaml.safe_dump(report["recipe"], sort_keys=False, allow_unicode=True),
    )
    return page


def _verdict(metrics: Mapping[str, Any]) -> str:
    return f"{quality(metrics)}, {metrics['speedup']:.1f}x, {metrics['size_ratio']:.2f} of the size"


def _cards(metrics: Mapping[str, Any]) -> list[dict[str, str]]:
    faster = (
        f"{metrics['source_latency_ms']:.3f} ms in fp32, {metrics['speedup']:.2f}x; {' '.join(metrics['instructions'])}"
    )
    return [
        _quality(metrics),
        {"title": "latency, one answer", "value": f"{metrics['latency_ms']:.3f} ms", "before": faster},
        {
            "title": "size",
            "value": f"{metrics['size'] / 1000:.0f} kB",
            "before": f"{metrics['size_ratio']:.2f} of the fp32 export's {metrics['source_size'] / 1000:.0f} kB",
        },
        {
            "title": "cost",
            "value": f"{metrics['latency_ms'] * plots.CORE_HOURS:.4f}",
            "before": "core-hours for a million answers",
        },
    ]


def _quality(metrics: Mapping[str, Any]) -> dict[str, str]:
    if figure_of(metrics) == "accuracy":
        before = f"{metrics['correct']} of {metrics['samples']}; trained model {metrics['source_accuracy']:.2%}"
        return {"title": "accuracy, held out", "value": quality(metrics), "before": before}
    before = f"over {metrics['samples']} samples; the nearest other sample is the same for {metrics['agreement']:.1%}"
    return {"title": "cosine with fp32, held out", "value": quality(metrics), "before": before}


def _trade_off(report: Mapping[str, Any]) -> dict[str, str]:
    metrics, facts = report["metrics"], report["facts"]
    figure, ending = figure_of(metrics), "refused" if report.get("refused") else "served"
    source = {"name": "P1: fp32", "lost": ""}
    source |= {name: metrics[f"source_{name}"] for name in (figure, "latency_ms", "size")}
    served = {"name": f"P2: {report['chosen'] or ending}", "lost": ""}
    served |= {name: metrics[name] for name in (figure, "latency_ms", "size")}
    others = [one for one in facts.get("search", {}).get("tried", []) if one["lost"] and one["latency_ms"] is not None]
    about = f"From the trained model's export in fp32 (P1) to what is {ending} (P2); a disc's area is the file's size."
    plot = plots.trade_off([served, *others], source, figure)
    return _section("trade-off", f"{figure.capitalize()}, latency, cost", about, plot)


def _sections(report: Mapping[str, Any]) -> list[dict[str, str]]:
    facts = report["facts"]
    found = [_trade_off(report)] if report["metrics"] else []
    if report["curves"]:
        about = "The weights of the lowest loss on validation are kept."
        found.append(_section("curves", "Training", about, plots.curves(report["curves"])))
    for name, costs in report["sensitivity"].items():
        about = f"What each node costs when it alone is int8 ({name}); nodes in red stay in fp32."
        plot = plots.sensitivity(costs, facts[name].get("kept_fp32", []))
        found.append(_section(f"sensitivity-{name}", "Sensitivity", about, plot))
    for name, tensors in report["histograms"].items():
        about = f"What calibration saw of each tensor ({name}); red lines are the ends of the range that int8 covers."
        found.append(_section(f"calibration-{name}", "Calibration", about, plots.histograms(tensors)))
    if not report["confusion"]["counts"]:
        return found
    about = "Held-out samples: rows are labels, columns what was answered."
    matrix = plots.confusion(report["confusion"]["counts"], report["confusion"]["names"])
    return [*found, _section("confusion", "Confusion", about, matrix)]


def _section(name: str, title: str, about: str, plot: str) -> dict[str, str]:
    return {"id": name.replace("/", "-"), "title": title, "about": about, "plot": plot}


def _figures(row: Mapping[str, Any]) -> dict[str, str]:
    size, told, latency = figures(row)
    return {"name": row["name"], "size": size, "quality": told, "latency": latency}


def _step(row: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, str]:
    told = []
    if "parameters_before" in facts:
        told.append(f"parameters {facts['parameters_before']:,} → {facts['parameters']:,}")
    elif "parameters" in facts:
        told.append(f"parameters {facts['parameters']:,}")
    if "sparsity" in facts:
        told.append(f"{facts['sparsity']:.1%} zeros")
    if "best_epoch" in facts:
        told.append(f"best of {facts['epochs']} epochs: {facts['best_epoch']}")
    if facts.get("kept_fp32"):
        told.append(f"in fp32: {', '.join(facts['kept_fp32'])}")
    return {**_figures(row), "seconds": f"{row['seconds']:.1f}", "told": "; ".join(told)}
