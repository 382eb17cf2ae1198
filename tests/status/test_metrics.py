"""The metrics page, read by Prometheus' own parsers."""

from __future__ import annotations

import re

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from agent.status import error_metrics, view
from agent.status import metrics as module
from tests.status.fake_status import NS, T0, document


def samples(text):
    """{(name, sorted labels): value} of a text page."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text, name, **labels):
    return samples(text)[name, tuple(sorted(labels.items()))]


def page(whole, now_ns=T0 + NS):
    body, _ = module.Metrics(lambda: whole, lambda: now_ns).render("")
    return body.decode()


def test_the_page_says_what_the_document_says():
    """Base units: seconds, bytes, ratios; one series per model and verdict."""
    text = page(document(30))
    assert value(text, "fieldwarden_healthy") == 1
    assert value(text, "fieldwarden_status_age_seconds") == 1
    assert value(text, "fieldwarden_model_verdict", model="yield", verdict="untrusted") == 1
    assert value(text, "fieldwarden_model_verdict", model="yield", verdict="trusted") == 0
    assert value(text, "fieldwarden_model_reasons", model="yield", cause="sensor") == 1
    assert value(text, "fieldwarden_source_state", source="utilities", state="failed") == 1
    received = value(
        text, "fieldwarden_source_samples_received_total", source="line", protocol="mqtt"
    )
    assert received == 9800
    assert value(text, "fieldwarden_conditions", severity="high", cause="sensor") == 1
    assert value(text, "fieldwarden_uplink_connected") == 0
    assert value(text, "fieldwarden_outbox_pending_bytes") == 98_304
    assert value(text, "fieldwarden_loop_lag_p99_seconds") == pytest.approx(0.0042)
    assert value(text, "fieldwarden_resident_memory_bytes") == 143e6
    assert value(text, "fieldwarden_cpu_usage_ratio") == pytest.approx(0.031)


def test_incidents_are_counted_once_however_many_conditions_they_have():
    """Open ones by severity and cause, and all since the start."""
    text = page(document(30))
    opened = [v for (name, _), v in samples(text).items() if name == "fieldwarden_incidents"]
    conditions = [v for (name, _), v in samples(text).items() if name == "fieldwarden_conditions"]
    assert (sum(opened), sum(conditions)) == (4, 6)
    assert value(text, "fieldwarden_incidents", severity="high", cause="sensor") == 1
    assert value(text, "fieldwarden_incidents_begun_total") == 9


def test_scans_outside_of_training_are_counted_per_model_and_input():
    """So that the share of any time can be had; all inputs together too."""
    text = page(document(30))
    model = {"model": "vibration forecast"}
    assert value(text, "fieldwarden_model_extrapolating", **model) == 1
    assert value(text, "fieldwarden_model_extrapolating", model="energy") == 0
    assert value(text, "fieldwarden_model_extrapolating_scans_total", **model) == 11_001
    assert value(text, "fieldwarden_model_jointly_extrapolating_scans_total", **model) == 547
    flow = model | {"input": "cooling.flow"}
    assert value(text, "fieldwarden_input_scans_total", **flow) == 86_400
    assert value(text, "fieldwarden_input_extrapolating_scans_total", **flow) == 10_454


def test_requests_that_wait_are_counted_by_model():
    """What somebody decided on waits for nobody."""
    text = page(document())
    assert 'fieldwarden_retraining_requests_open{model="yield"} 1.0' in text
    assert 'fieldwarden_retraining_requests_open{model="energy"} 0.0' in text


def test_inputs_as_labels_are_bounded():
    """A model of thousands of inputs has no thousands of series."""
    whole = document(5)
    one = whole["models"][0]["inputs"][0]
    whole["models"][0]["inputs"] = [{**one, "tag": f"tag{i}"} for i in range(3 * module.MAX_INPUTS)]
    found = [key for key in samples(page(whole)) if key[0] == "fieldwarden_input_scans_total"]
    assert len(found) == module.MAX_INPUTS


def test_tags_are_counted_by_quality_and_never_a_label():
    """A thousand tags are four series."""
    text = page(document(1000))
    counts = {q: value(text, "fieldwarden_tags", quality=q) for q in view.QUALITY_CLASSES}
    assert counts == {"bad": 3, "uncertain": 1, "none": 1, "good": 995}
    assert len(samples(text)) == len(samples(page(document(30))))
    assert "signal0004" not in text


def test_names_follow_the_conventions():
    """Own prefix, snake case, help for each, counters end in _total, no unit but base units."""
    text = page(document(30))
    for family in text_string_to_metric_families(text):
        assert re.fullmatch(r"fieldwarden_[a-z0-9_]+", family.name)
        assert family.documentation.endswith(".")
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        assert not re.search(r"_(ms|mb|ns|percent|minutes)\b", family.name)


def test_openmetrics_is_served_where_it_is_asked_for():
    """Prometheus prefers it; its stricter parser reads the page."""
    accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
    body, content_type = module.Metrics(lambda: document(5), lambda: T0).render(accept)
    assert content_type.startswith("application/openmetrics-text")
    assert len(list(openmetrics(body.decode()))) > 10


def test_labels_are_bounded_whatever_the_document_holds():
    """Foreign words count as unknown, drop reasons beyond the limit as other, models are cut."""
    whole = document(5)
    whole["outbox"]["dropped"] = {f"reason {i:03d}": 1 for i in range(100)}
    whole["conditions"][0].update(cause="gremlins", severity="apocalyptic")
    whole["models"] = [{**whole["models"][0], "name": f"m{i}"} for i in range(1000)]
    text = page(whole)
    found = samples(text)
    dropped = {k[1][0][1]: v for k, v in found.items() if k[0].endswith("messages_dropped_total")}
    assert len(dropped) == module.MAX_REASONS + 1
    assert sum(dropped.values()) == 100
    assert "gremlins" not in text
    assert value(text, "fieldwarden_conditions", severity="unknown", cause="unknown") == 1
    models = {dict(k[1])["model"] for k in found if k[0] == "fieldwarden_model_verdict"}
    assert len(models) == module.MAX_SERIES


def test_unknown_values_are_absent_rather_than_zero():
    """A gauge that nobody measured must not look measured."""
    whole = document(5)
    whole["process"] = {}
    whole["budget"]["expected_per_30_days"] = None
    whole["outbox"] = {"configured": False}
    text = page(whole)
    for name in ("loop_lag", "expected_per_30_days", "outbox", "uplink"):
        assert name not in text


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "new\nline", "ünïcode", ""])
def test_odd_names_survive_the_text_format(name):
    """Names are escaped: they neither break the page nor add lines to it."""
    whole = document(5)
    whole["models"] = [{**whole["models"][0], "name": name}]
    assert value(page(whole), "fieldwarden_model_verdict", model=name, verdict="untrusted") == 1


def test_without_a_document_the_page_still_says_that_the_agent_is_not_healthy():
    """Scraping a starting agent works."""
    assert value(page({}), "fieldwarden_healthy") == 0


async def test_requests_are_counted_by_route_template(served):
    """Paths that clients make up do not become labels."""
    for path in ("/api/v1/models/yield/verdict", "/api/v1/models/x/verdict", "/a", "/b", "/c"):
        await served.get(path)
    status, headers, text = await served.get("/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain")
    name = "fieldwarden_http_requests_total"
    assert value(text, name, route="/api/v1/models/{name}/verdict", code="200") == 1
    assert value(text, name, route="/api/v1/models/{name}/verdict", code="404") == 1
    assert value(text, name, route="unknown", code="404") == 3


def test_errors_are_told_beside_what_training_lets_expect():
    """Losses of labels, the estimate with its interval, and the labels themselves."""
    text = page(document())
    of = {"model": "yield", "output": "yield.predicted", "loss": "absolute",
          "label": "lab.yield.predicted"}  # fmt: skip
    assert value(text, "fieldwarden_output_labels_total", **of) == 1_143
    wanted = {
        "loss_mean": 0.82, "loss_reference": 0.5, "loss_allowed": 0.66, "loss_estimated": 0.52,
        "loss_estimated_low": 0.4, "loss_estimated_high": 0.6, "errors_grew": 1.0,
        "evidence_ratio": 0.31, "not_assessed": 0.0,
        "last_label_timestamp_seconds": T0 / NS - 900,
        "assessed_timestamp_seconds": T0 / NS - 4_000,
    }
    told = {name: value(text, f"fieldwarden_output_{name}", **of) for name in wanted}
    assert told == wanted
    other = of | {"model": "energy", "output": "kw", "label": "lab.kw"}
    assert value(text, "fieldwarden_output_errors_grew", **other) == 0


def test_two_labels_of_one_output_are_two_series():
    """Twice the same name and labels would be no page that Prometheus takes."""
    whole = document()
    errors = whole["models"][0]["errors"]
    errors.append(errors[0] | {"label": "lab.second", "labels": 7})
    lines = [line for line in page(whole).splitlines() if not line.startswith("#")]
    assert len({line.rpartition(" ")[0] for line in lines}) == len(lines)


def test_errors_that_nobody_knows_are_absent():
    """Without a record and without a label there is no loss, no warning and no time of one."""
    found = samples(page(document()))
    spare = {key[0] for key in found if ("output", "kw.spare") in key[1]}
    named = ("labels_total", "not_assessed")
    assert spare == {f"fieldwarden_output_{name}" for name in named}


def test_outputs_say_whether_they_are_as_trained():
    """One that the training record did not have says nothing."""
    text = page(document())
    name = "fieldwarden_output_as_trained"
    assert value(text, name, model="yield", output="yield.predicted") == 0
    assert value(text, name, model="energy", output="kw") == 1
    assert "yield.predicted.spare" not in text


def test_outputs_as_labels_are_bounded():
    """Models of very many outputs have no thousands of series."""
    whole = document(5)
    for key in ("errors", "outputs"):
        one = whole["models"][0][key][0]
        name = {"errors": "output", "outputs": "tag"}[key]
        whole["models"][0][key] = [{**one, name: f"o{i}"} for i in range(2_000)]
    found = [key[0] for key in samples(page(whole))]
    for name in ("fieldwarden_output_labels_total", "fieldwarden_output_as_trained"):
        assert found.count(name) == error_metrics.MAX_OUTPUTS
