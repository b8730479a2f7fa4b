# SPDX-License-Identifier: Apache-2.0
"""examples/siem/prometheus and grafana: promtool takes them, alerts fire when they must and only then, and every metric is one
of the manual."""
import json
import re
import subprocess

import pytest
import yaml

from siem import page, path_of, read, reasons

pytestmark = pytest.mark.brokerless


def promtool(*arguments, folder=None):
    return subprocess.run(["promtool", *arguments], cwd=folder or path_of("prometheus"), capture_output=True, timeout=240, check=False,
                          text=True)


@pytest.mark.parametrize("arguments", [("check", "config", "prometheus.yml"), ("check", "rules", "mqward.rules.yml"),
                                       ("test", "rules", "mqward.rules.test.yml")], ids=" ".join)
def test_promtool_accepts_it(arguments):
    result = promtool(*arguments)
    assert result.returncode == 0 and "SUCCESS" in result.stdout, result.stdout + result.stderr


def rules():
    return [rule for group in yaml.safe_load(read("prometheus", "mqward.rules.yml"))["groups"] for rule in group["rules"]]


def panels():
    return [panel for panel in json.loads(read("grafana", "mqward.json"))["panels"] if panel["type"] != "row"]


def promql():
    """{where: expression}: of the rules and of the dashboard, its variables filled in."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    dashboard = json.loads(read("grafana", "mqward.json"))
    for item in [*panels(), *dashboard["annotations"]["list"]]:
        for target in item.get("targets", [item]):
            if item["datasource"]["type"] == "prometheus":
                text = target["expr"].replace("$__rate_interval", "5m").replace("$__range", "6h").replace("$instance", ".*")
                assert "$" not in text, text
                yield item.get("title", item.get("name")), text


def metrics():
    """{metric: labels} of the manual; a histogram's series, too."""
    found = {}
    for name, kind, labels in re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \| ([^|]*) \|", page("metrics.md"), re.M):
        own = set(re.findall(r"`(\w+)`", labels))
        found[name] = own
        if kind == "histogram":
            found.update({f"{name}_bucket": own | {"le"}, f"{name}_sum": own, f"{name}_count": own})
    assert len(found) > 60
    return found


SCRAPED = {"instance", "job"}


def test_every_metric_and_label_is_one_of_the_manual():
    known = {**metrics(), "up": set()}
    for where, expression in promql():
        used = set(re.findall(r"\b(?:mqward|process)_\w+|\bup\b", re.sub(r'"[^"]*"', lambda text: text[0].replace('"', " "), expression)))
        assert used and used - set(known) == set(), where
        labels = set().union(*(known[name] for name in used)) | SCRAPED
        for group in re.findall(r"\b(?:by|on) *\(([^)]*)\)", expression) + re.findall(r"\{([^}]*)\}", expression):
            named = set(re.findall(r"(\w+) *(?:=~|!~|!=|=)", group)) or {name.strip() for name in group.split(",")}
            assert named - labels - {"__name__"} == set(), (where, named - labels)


# The values of "result", as docs/metrics.md has them; the signatures' other ones are reasons.
RESULTS = {"mqward_signatures_total": {"valid", "none", *reasons()}, "mqward_scans_total": {"clean", "matched", "incomplete", "failed"},
           "mqward_rule_decisions_total": {"allowed", "denied", "monitored"}}


def test_every_result_that_is_selected_can_be_there():
    seen = set()
    for where, expression in promql():
        for metric, values in re.findall(r'(mqward_\w+)\{[^}]*result(?:=~|!~|!=|=)"([^"]*)"', expression):
            seen.add(metric)
            assert set(values.split("|")) - RESULTS[metric] == set(), where
    assert seen == set(RESULTS)


def test_every_expression_of_the_dashboard_is_promql(tmp_path):
    groups = [{"name": "all", "rules": [{"record": f"r:{index}", "expr": expression} for index, (_, expression) in enumerate(promql())]}]
    (tmp_path / "all.yml").write_text(yaml.safe_dump({"groups": groups}))
    result = promtool("check", "rules", "all.yml", folder=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    (tmp_path / "bad.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": [{"record": "r:x", "expr": "sum by ("}]}]}))
    assert promtool("check", "rules", "bad.yml", folder=tmp_path).returncode != 0


def test_the_dashboard_is_whole():
    dashboard = json.loads(read("grafana", "mqward.json"))
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids)) > 20
    assert {panel["datasource"]["uid"] for panel in panels()} == {"${prometheus}", "${loki}"}
    assert {"prometheus", "loki", "instance"} == {variable["name"] for variable in dashboard["templating"]["list"]}
    taken = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells


def test_every_alert_is_tested_both_ways_and_says_what_to_do():
    cases = yaml.safe_load(read("prometheus", "mqward.rules.test.yml"))["tests"]
    fires = {check["alertname"]: bool(check["exp_alerts"]) for case in cases for check in case["alert_rule_test"] if check["exp_alerts"]}
    quiet = {check["alertname"] for case in cases for check in case["alert_rule_test"] if not check["exp_alerts"]}
    alerts = {rule["alert"] for rule in rules()}
    assert alerts == set(fires) == quiet
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical") and set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
