"""The HTTP API against its own OpenAPI description, over loopback."""

from __future__ import annotations

import json
import re

import aiohttp
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from agent.errors import FieldwardenError
from agent.status import view
from agent.status.api import StatusServer
from agent.status.gate import HostCheck
from agent.status.routes import paths
from tests.status.conftest import serving, tls_of
from tests.status.fake_status import HOSTILE, NS, T0, FakeModels, document, events

JSON_PATHS = [
    "/api/v1/status",
    "/api/v1/status?history=false",
    "/api/v1/models",
    "/api/v1/models/yield/verdict",
    "/api/v1/models/vibration%20forecast/verdict",
    "/api/v1/models/nobody/verdict",
    "/api/v1/models/yield/inputs?nonce=n-1",
    "/api/v1/models/nobody/inputs",
    "/api/v1/models/yield/history",
    "/api/v1/models/nobody/history",
    "/api/v1/sources",
    "/api/v1/tags",
    "/api/v1/conditions",
    "/api/v1/changes",
    "/api/v1/changes/utilities-3",
    "/api/v1/changes/nothing",
    "/api/v1/incidents",
    "/api/v1/events?limit=7&kind=verdict",
    "/api/v1/events?limit=many",
    "/api/v1/openapi.json",
    "/api/v1/person",
    "/healthz",
]


def template(path, described):
    """The described path that a real path belongs to."""
    plain = path.partition("?")[0]
    fitting = [
        each for each in described if re.fullmatch(re.sub(r"\{\w+\}", "[^{}]+", each), plain)
    ]
    return min(fitting, key=lambda each: each.count("{"))


def check(description, path, method, status, content_type, body):
    """Fails unless the description has this response, and the body fits its schema."""
    answers = description["paths"][template(path, description["paths"])][method]["responses"]
    answer = answers.get(str(status)) or answers["default"]
    schema = answer["content"][content_type.partition(";")[0]]["schema"]
    validator = Draft202012Validator(
        {**schema, "components": description["components"]}, format_checker=FormatChecker()
    )
    faults = [f"{list(e.absolute_path)}: {e.message}" for e in validator.iter_errors(body)]
    assert not faults, faults[:5]


async def test_every_route_is_described_and_every_description_has_a_route(served):
    """The description is complete in both directions."""
    _, description = await served.json("/api/v1/openapi.json")
    described = {(m, path) for path, each in description["paths"].items() for m in each}
    assert described == paths(served.server.routes.table())


async def test_the_description_is_sound_openapi(served):
    """Version 3.1, unique operations, references that lead somewhere, schemas that are schemas."""
    _, description = await served.json("/api/v1/openapi.json")
    assert description["openapi"].startswith("3.1.")
    assert description["info"]["version"] == "0.1.0"
    operations = [o["operationId"] for each in description["paths"].values() for o in each.values()]
    assert len(operations) == len(set(operations))
    schemas = description["components"]["schemas"]
    references = re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(description))
    assert set(references) == set(schemas)
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    for path, each in description["paths"].items():
        for operation in each.values():
            named = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
            assert named == set(re.findall(r"\{(\w+)\}", path))


@pytest.mark.parametrize("path", JSON_PATHS)
async def test_answers_fit_the_description(served, path):
    """Status code, content type and body of every JSON route, errors included."""
    _, description = await served.json("/api/v1/openapi.json")
    status, headers, text = await served.get(path)
    check(description, path, "get", status, headers["Content-Type"], json.loads(text))


@pytest.mark.parametrize("path", ["/api/v1/status", "/api/v1/tags", "/api/v1/models", "/healthz"])
async def test_before_the_first_commit_the_api_says_that_it_starts(served, path):
    """503 with a reason and when to come back, as described, not an empty success."""
    _, description = await served.json("/api/v1/openapi.json")
    served.document = {}
    status, headers, text = await served.get(path)
    assert status == 503
    check(description, path, "get", status, headers["Content-Type"], json.loads(text))


async def test_the_description_would_catch_a_wrong_answer(served):
    """The check of the other tests can fail: a verdict outside the vocabulary is a fault."""
    _, description = await served.json("/api/v1/openapi.json")
    _, answer = await served.json("/api/v1/models/yield/verdict")
    answer["verdict"] = "fine"
    with pytest.raises(AssertionError, match="fine"):
        check(description, "/api/v1/models/yield/verdict", "get", 200, "application/json", answer)


async def test_a_model_gets_its_verdict_with_how_long_it_holds(served):
    """What a model's process needs before it trusts its inputs, in one small answer."""
    status, answer = await served.json("/api/v1/models/yield/verdict")
    assert status == 200
    assert answer["verdict"] == "untrusted"
    assert answer["reasons"][0]["cause"] == "sensor"
    assert answer["valid_until_ns"] == T0 + 15 * NS
    assert answer["valid_until"] == "2026-03-01T02:00:15Z"
    assert answer["valid_for_s"] == pytest.approx(14.5)
    assert (answer["gateway"], answer["boot"]) == ("gw-07", 4)


@pytest.mark.parametrize("path", ["/api/v1/status", "/api/v1/models"])
async def test_past_its_time_a_verdict_is_unassessable_everywhere(served, path):
    """The agent's logic stands still, its web server does not: nobody is told `trusted`."""
    _, before = await served.json("/api/v1/models/energy/verdict")
    assert before["verdict"] == "trusted"
    served.now_ns = T0 + 15 * NS + 1
    _, answer = await served.json("/api/v1/models/energy/verdict")
    assert answer["verdict"] == "unassessable"
    assert answer["valid_for_s"] == 0
    assert answer["last_known"]["verdict"] == "trusted"
    _, whole = await served.json(path)
    assert {m["verdict"] for m in whole["models"]} == {"unassessable"}
    assert 'model="energy",verdict="trusted"} 0.0' in (await served.get("/metrics"))[2]


async def test_vectors_are_checked_one_or_many_and_nothing_but_finite_numbers_goes_in(served):
    """NaN, infinities, 1e999, texts, truths, twins and other shapes are 400, with what to send."""
    _, description = await served.json("/api/v1/openapi.json")
    path = "/api/v1/models/yield/check"
    for body, count in (('{"a": 1, "b": null}', 1), ('[{"a": 1e3}, {}]', 2)):
        status, answer = await served.post(f"{path}?mode=high", body)
        assert (status, len(answer["results"])) == (200, count)
        check(description, path, "post", status, "application/json", answer)
    assert served.models.checked[0] == ("yield", [{"a": 1.0, "b": None}], "high")
    digits = "9" * 400
    for wrong in (
        '{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', f'{{"a": {digits}}}', '{"a": "1"}',
        '{"a": true}', '{"a": 1, "a": 2}', "[]", "3", "[3]", "{", "\x00", "[" * 9_000,
        f"[{'{},' * 256}{{}}]",
    ):  # fmt: skip
        status, answer = await served.post(path, wrong)
        assert (status, answer["hint"] != "") == (400, True), wrong[:40]
        check(description, path, "post", status, "application/problem+json", answer)
    status, answer = await served.post("/api/v1/models/nobody/check", "{}")
    assert (status, "yield" in answer["hint"]) == (404, True)
    assert (await served.post(path, " " * 70_000))[0] == 413
    assert len(served.models.checked) == 2


async def test_an_answer_says_of_which_moment_it_is_and_gives_the_nonce_back(served):
    """By which a model knows that it got no old answer, and until when it may hold it for true."""
    _, answer = await served.json("/api/v1/models/yield/verdict?nonce=n-7")
    assert (answer["nonce"], answer["age_s"]) == ("n-7", pytest.approx(0.5))
    assert (answer["boot_id"], answer["fresh_until_boottime_ns"]) == ("b", 12 * NS)
    assert answer["causes"] == ["sensor", "process"]
    _, inputs = await served.json("/api/v1/models/yield/inputs")
    assert {**inputs, "inputs": 0, "nonce": "n-7"} == {**answer, "inputs": 0}


async def test_an_unknown_model_is_404_and_names_the_known_ones(served):
    """A wrong name is the client's mistake, and the answer helps to mend it."""
    status, answer = await served.json("/api/v1/models/yeild/verdict")
    assert status == 404
    assert "yield" in answer["hint"]


async def test_a_model_may_have_a_slash_in_its_name(served):
    """Names come from people; the route takes the rest of the path."""
    served.document["models"][0]["name"] = "line/1 yield"
    status, answer = await served.json("/api/v1/models/line%2F1%20yield/verdict")
    assert (status, answer["model"]) == (200, "line/1 yield")


async def test_history_is_left_out_on_demand(served):
    """The page polls without it: a third of the bytes."""
    _, whole = await served.json("/api/v1/tags")
    _, bare = await served.json("/api/v1/tags?history=false")
    assert len(whole["tags"][0]["history"]) == 60
    assert all("history" not in tag for tag in bare["tags"])


async def test_values_that_are_no_numbers_are_null_not_broken_json(served):
    """One NaN of one sensor must not take the page of the plant away."""
    served.document["tags"][0].update(value=float("nan"), history=[1.0, float("inf"), 2.0])
    served.document["budget"]["expected_per_30_days"] = float("nan")
    status, answer = await served.json("/api/v1/status")
    assert status == 200
    assert answer["tags"][0]["value"] is None
    assert answer["tags"][0]["history"] == [1.0, None, 2.0]
    assert answer["budget"]["expected_per_30_days"] is None


async def test_a_thousand_tags_are_served_whole(served):
    """All of them, the last one included, with and without history."""
    served.document = document(1000)
    for path in ("/api/v1/status", "/api/v1/status?history=false"):
        _, answer = await served.json(path)
        assert len(answer["tags"]) == 1000
        assert answer["tags"][-1]["name"] == served.document["tags"][-1]["name"]


async def test_healthz_is_503_with_the_reason_when_the_document_is_old(served):
    """What a watchdog or load balancer asks: is the agent moving?"""
    assert (await served.json("/healthz"))[0] == 200
    served.now_ns = T0 + 60 * NS
    status, answer = await served.json("/healthz")
    assert status == 503
    assert answer["age_s"] == 60
    assert "60 s old" in answer["reason"]


@pytest.mark.parametrize(
    ("query", "count"), [("", 100), ("?limit=3", 3), ("?limit=0", 1), ("?limit=999999", 200)]
)
async def test_events_are_limited(served, query, count):
    """A default, a least and a most; the made-up store has 200."""
    _, answer = await served.json(f"/api/v1/events{query}")
    assert len(answer["events"]) == count


async def test_events_are_chosen_by_kind_and_may_come_from_a_coroutine():
    """The app may read its store off the loop."""

    async def later(limit, kind):
        return events(limit, kind)

    async with serving(events=later) as served:
        _, answer = await served.json("/api/v1/events?kind=verdict&limit=5")
    assert [event["kind"] for event in answer["events"]] == ["verdict"] * 5


@pytest.mark.parametrize("limit", ["many", "-1", "1e3", "", "٣", "1" * 50])
async def test_a_limit_that_is_no_number_is_refused(served, limit):
    """400 with a hint, whatever was sent."""
    status, answer = await served.json("/api/v1/events", params={"limit": limit})
    assert status == 400
    assert "1000" in answer["hint"]


@pytest.mark.parametrize("path", ["/", "/page/app.js", "/nothing", "/api/v1/status", "/metrics"])
async def test_every_answer_has_the_security_headers(served, path):
    """Errors and files too: no framing, no sniffing, own resources only, no markup from strings."""
    _, headers, _ = await served.get(path)
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'")
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == "no-store"
    assert "aiohttp" not in headers["Server"]
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "[::1", "", "a b"],
)
async def test_a_name_that_is_not_ours_is_refused(served, host):
    """DNS rebinding: a page that let its own name resolve to us does not get to read us."""
    status, _, text = await served.get("/api/v1/status", headers={"Host": host})
    assert status in {400, 421}
    assert "gw-07" not in text


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:8686", "LOCALHOST:1", "[::1]:80", "127.9.9.9"]
)
async def test_loopback_names_are_ours_at_any_port(served, host):
    """Tunnels change the port."""
    assert (await served.get("/healthz", headers={"Host": host}))[0] == 200


def test_off_loopback_addresses_own_and_given_names_are_accepted():
    """An address can not be rebound; a name must be known."""
    check_ = HostCheck("0.0.0.0", ["gw-07.plant.example"])
    assert check_.accepts("10.0.0.5:8686")
    assert check_.accepts("GW-07.plant.example:8686")
    assert not check_.accepts("gw-07.evil.example")
    assert not HostCheck("127.0.0.1").accepts("10.0.0.5")


async def test_over_tls_the_certificate_says_which_names_are_ours(tmp_path):
    """People open the page by the name that the certificate is of; the agent is told no other."""
    host = {"Host": "gw-07.plant.example:8686"}
    async with serving("0.0.0.0:0", tls=tls_of(tmp_path)) as served:
        assert (await served.get("/healthz", headers=host, ssl=False))[0] == 200
        assert (await served.get("/healthz", headers={"Host": "[::1"}, ssl=False))[0] in {400, 421}
    async with serving("0.0.0.0:0") as served:
        assert (await served.get("/healthz", headers=host))[0] == 421


async def test_methods_and_paths_that_do_not_exist_are_problems(served):
    """RFC 9457 documents, also for what aiohttp itself refuses."""
    url = served.server.url.rstrip("/")
    async with served.session.post(url + "/api/v1/status") as answer:
        assert (answer.status, answer.content_type) == (405, "application/problem+json")
        assert "GET" in answer.headers["Allow"]
    for path in ("/page/../api.py", "/page/%2e%2e%2fapi.py", "/page/view.py", "/favicon.ico"):
        async with served.session.get(aiohttp.client.URL(url + path, encoded=True)) as answer:
            assert answer.status == 404
            assert (await answer.json(content_type=None))["status"] == 404


async def test_a_fault_in_the_app_is_500_without_its_inside(served, caplog):
    """One broken answer is logged; the client learns nothing and the server goes on."""
    served.document = {"models": [{"name": "m", "verdict": "trusted", "valid_until_ns": "secret"}]}
    status, _, text = await served.get("/api/v1/models")
    assert status == 500
    assert "secret" not in text
    assert "Traceback" not in text
    assert "answering" in caplog.text
    served.document = document()
    assert (await served.get("/api/v1/models"))[0] == 200


async def test_names_from_the_plant_never_reach_the_markup(served):
    """The page is static: a tag called like a script is data in JSON, nothing else."""
    _, _, page = await served.get("/")
    _, answer = await served.json("/api/v1/tags")
    assert HOSTILE in [tag["name"] for tag in answer["tags"]]
    assert "onerror" not in page


async def test_a_taken_address_is_an_error_that_says_what_to_do(served):
    """Operation, subject, cause and hint, not an OSError."""
    second = StatusServer(
        f"127.0.0.1:{served.server.port}", dict, events, models=FakeModels(dict)
    )
    with pytest.raises(FieldwardenError) as caught:
        await second.start()
    assert caught.value.operation == "opening the status page"
    assert "listen" in caught.value.hint
    await second.stop()


async def test_stop_closes_the_port_and_open_connections(served):
    """A reload or stop is not held up by an idle browser."""
    await served.get("/healthz")
    await served.server.stop()
    with pytest.raises(aiohttp.ClientError):
        await served.get("/healthz")
    assert len(served.server.connections) == 0


def test_the_verdict_vocabulary_of_the_description_is_the_documents():
    """One list of words, in both places."""
    server = StatusServer("127.0.0.1:0", dict, events, models=FakeModels(dict))
    schemas = server.routes._openapi["components"]["schemas"]
    assert set(schemas["Verdict"]["enum"]) == set(view.VERDICTS)
    assert schemas["Cause"]["enum"] == list(view.CAUSES)
    assert schemas["Condition"]["properties"]["state"]["enum"] == list(view.CONDITION_STATES)
    assert set(schemas["Source"]["properties"]["state"]["enum"]) == set(view.SOURCE_STATES)
