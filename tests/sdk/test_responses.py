"""The official OpenAI SDK's responses against the gateway, strictly: what comes back must be what the SDK's types say."""

import json

import openai
import pydantic
import pytest
from conftest import WEATHER
from openai.types.responses import Response, ResponseStreamEvent

# Routes by what is behind them: chat completions, Anthropic's messages, or responses as they came.
SIDES = ["openai", "anthropic", "native"]
TOOLS = [{"type": "function", "name": "weather", "parameters": WEATHER, "strict": False}]
EVENT = pydantic.TypeAdapter(ResponseStreamEvent)


def strict(response):
    """The SDK itself builds whatever it gets; this one refuses what lacks a field."""
    return Response.model_validate(json.loads(response.model_dump_json(by_alias=True)))


def strict_events(events):
    for number, event in enumerate(events):
        EVENT.validate_python(json.loads(event.model_dump_json(by_alias=True)))
        assert event.sequence_number == number
    return events


@pytest.mark.parametrize("side", SIDES)
def test_a_whole_answer(openai_client, side):
    response = openai_client.responses.create(model=f"{side}-text", input="hi")
    strict(response)
    assert (response.output_text, response.status) == ("hello", "completed")
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (11, 7, 18)
    assert response.usage.input_tokens_details.cached_tokens == 3
    assert response.id.startswith("resp_") and response._request_id.startswith("req_")


@pytest.mark.parametrize("side", SIDES)
def test_a_stream(openai_client, side):
    events = strict_events(list(openai_client.responses.create(model=f"{side}-text", input="hi", stream=True)))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"] and kinds[-1] == "response.completed"
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "hello"
    assert events[-1].response.output_text == "hello"
    assert events[-1].response.usage.output_tokens == 7


@pytest.mark.parametrize("side", SIDES)
def test_the_streaming_helper(openai_client, side):
    with openai_client.responses.stream(model=f"{side}-text", input="hi") as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert snapshots == ["h", "he", "hel", "hell", "hello"]
    assert final.output_text == "hello"


@pytest.mark.parametrize("side", SIDES)
def test_a_tool_call_and_its_result(openai_client, side):
    asked = [{"role": "user", "content": "hi"}]
    response = openai_client.responses.create(model=f"{side}-tool", input=asked, tools=TOOLS, tool_choice="required")
    strict(response)
    call = next(item for item in response.output if item.type == "function_call")
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Linz"})
    if side != "native":
        assert (response.tools[0].name, response.tool_choice) == ("weather", "required")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sun"}
    again = openai_client.responses.create(model=f"{side}-tool", input=[*asked, *response.output, result], tools=TOOLS)
    assert again.output[-1].name == "weather"


@pytest.mark.parametrize("side", SIDES)
def test_a_streamed_tool_call(openai_client, side):
    with openai_client.responses.stream(model=f"{side}-tool", input="hi", tools=TOOLS) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert any(event.type == "response.function_call_arguments.delta" for event in events)
    call = final.output[-1]
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Linz"})


@pytest.mark.parametrize("side", SIDES)
def test_a_stream_that_breaks_is_an_exception(openai_client, side):
    seen, kinds = "", []
    with pytest.raises(openai.APIError) as caught:
        for event in openai_client.responses.create(model=f"{side}-breaks", input="hi", stream=True):
            kinds.append(event.type)
            seen += event.delta if event.type == "response.output_text.delta" else ""
    assert seen == "he" and "response.completed" not in kinds
    assert "cut short" in str(caught.value)
    with pytest.raises(openai.APIError), openai_client.responses.stream(model=f"{side}-breaks", input="hi") as stream:
        stream.get_final_response()


def test_a_parsed_tool_call(openai_client):
    tool = {**TOOLS[0], "strict": True, "parameters": {**WEATHER, "additionalProperties": False}}
    response = openai_client.responses.parse(model="openai-tool", input="hi", tools=[tool])
    assert response.output[-1].parsed_arguments == {"city": "Linz"}


def test_errors_are_the_sdks_own(openai_client):
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.responses.create(model="anthropic-text", input="hi", previous_response_id="resp_1")
    assert caught.value.param == "previous_response_id"
    stored = openai_client.responses.create(model="native-text", input="hi", previous_response_id="resp_1")
    assert stored.output_text == "hello"
    with pytest.raises(openai.NotFoundError):
        openai_client.responses.create(model="openai-txet", input="hi")
    with pytest.raises(openai.AuthenticationError):
        openai_client.with_options(api_key="sk-bs-wrong").responses.create(model="openai-text", input="hi")
    for side in SIDES:
        with pytest.raises(openai.RateLimitError):
            openai_client.responses.create(model=f"{side}-limited", input="hi")
        with pytest.raises(openai.InternalServerError):
            openai_client.responses.create(model=f"{side}-down", input="hi")


def test_the_local_model(openai_client):
    asked = {
        "model": "local",
        "instructions": "You are a helpful assistant.",
        "input": "What is the capital of Japan?",
        "max_output_tokens": 16,
        "temperature": 0,
    }
    raw = openai_client.responses.with_raw_response.create(**asked)
    assert raw.headers["x-backstop-served-by"] == "local/smollm2-135m-instruct"
    response = strict(raw.parse())
    assert "Tokyo" in response.output_text
    assert (response.instructions, response.max_output_tokens) == (asked["instructions"], 16)
    events = strict_events(list(openai_client.responses.create(**asked, stream=True)))
    assert events[-1].type in ("response.completed", "response.incomplete")
    assert events[-1].response.output_text == response.output_text
