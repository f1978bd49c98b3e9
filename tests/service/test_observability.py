"""Dashboard, alerts and runbook use existing metrics and refer to each other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from service_harness import UNKNOWN, Running

from loadtest.bench import sizing

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
TESTED = yaml.safe_load((DEPLOY / "alerts.test.yml").read_text())["tests"]
RUNBOOK = (ROOT / "docs" / "operations.md").read_text()
PROMETHEUS_ITSELF = {"up"}
"""Metrics that come from the scrape, not from the service."""
WORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "bool", "offset"}


def panels() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


EXPRESSIONS = [*panels(), *((rule["alert"], rule["expr"]) for rule in RULES)]


def metrics_of(expression: str) -> set[str]:
    """The metric names of a PromQL expression, without functions, keywords and labels."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    bare = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", " ", bare)
    names = re.findall(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()", bare)
    return {name for name in names if name not in WORDS}


def labels_of(expression: str) -> set[tuple[str, str]]:
    """Metric and label, for every label that an expression chooses by or groups by."""
    found = set()
    for metric, matchers in re.findall(r"(\w+)\{([^}\"]*(?:\"[^\"]*\"[^}\"]*)*)\}", expression):
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", matchers):
            found.add((metric, label))
    return found


def test_the_parser_of_these_tests() -> None:
    expression = 'sum by (a) (rate(b_total{c=~"d{e}", f!="g"}[5m])) / h > 1e9 and up == 0'
    assert metrics_of(expression) == {"b_total", "h", "up"}
    assert labels_of(expression) == {("b_total", "c"), ("b_total", "f")}


@pytest.fixture
async def samples(running: Running) -> dict[str, set[str]]:
    """Names of samples with the names of their labels, after some traffic of each kind."""
    key = (await running.upload())["id"]
    for path in (f"/thumb/{key}?bytes=32", f"/thumb/{key}?ssim=0.5", f"/decode/{key}", "/readyz"):
        assert (await running.http.get(path)).status_code == 200
    assert (await running.http.get(f"/thumb/{UNKNOWN}")).status_code == 404
    metrics = running.app.services.metrics
    metrics.count_token("a name")
    metrics.count_connection_closed("idle")
    text = (await running.http.get("/metrics")).text
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^([a-z_]+)(?:\{(.*)\})? \S+$", text, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


async def test_expressions_use_existing_metrics(samples: dict[str, set[str]]) -> None:
    used = set().union(*(metrics_of(expression) for _, expression in EXPRESSIONS))
    assert len(used) > 20
    assert used - set(samples) == PROMETHEUS_ITSELF
    chosen = set().union(*(labels_of(expression) for _, expression in EXPRESSIONS))
    from_prometheus = {"job", "instance"}
    assert not {
        (metric, label)
        for metric, label in chosen
        if metric not in PROMETHEUS_ITSELF and label not in samples[metric] | from_prometheus
    }


async def test_every_metric_of_the_service_is_shown(samples: dict[str, set[str]]) -> None:
    shown = set().union(*(metrics_of(expression) for _, expression in panels()))
    base = re.compile(r"_(bucket|sum|count|total|created)$")
    families = {base.sub("", name) for name in samples if name.startswith("thumbstream_")}
    assert families - {base.sub("", name) for name in shown} == set()


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    ids = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
        ids.add(panel["id"])
    assert len(ids) == len(DASHBOARD["panels"])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_has_a_severity_a_runbook_and_a_test(rule: dict[str, Any]) -> None:
    name = rule["alert"]
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"
    cases = [case for test in TESTED for case in test["alert_rule_test"]]
    firing = [bool(case.get("exp_alerts")) for case in cases if case["alertname"] == name]
    assert set(firing) == {True, False}


def test_each_alert_has_its_section_and_each_section_its_alert() -> None:
    sections = re.findall(r"^### (Thumbstream\w+)$", RUNBOOK, re.MULTILINE)
    assert sections == [rule["alert"] for rule in RULES]
    for title, text in re.findall(
        r"^### (Thumbstream\w+)\n(.*?)(?=^#|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL
    ):
        for part in ("**Means.**", "**Look.**", "**Do.**"):
            assert part in text, (title, part)


async def test_runbook_names_existing_metrics(samples: dict[str, set[str]]) -> None:
    base = re.compile(r"_(bucket|sum|count|total|created)$")
    known = set(samples) | {base.sub("", name) for name in samples}
    assert set(re.findall(r"`((?:thumbstream|process)_[a-z_]+)", RUNBOOK)) <= known


def test_prometheus_job_name_matches_alerts() -> None:
    [job] = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    assert job["job_name"] == "thumbstream"
    assert all('job="thumbstream"' in expression for _, expression in panels())


def test_the_figures_of_sizing_are_the_measured_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    report = json.loads(sizing.RESULTS.read_text()) | {"prices": sizing.PRICES}
    shown = RUNBOOK.split(sizing.BEGIN)[1].split(sizing.END)[0]
    assert shown.strip() == sizing.text(report)
