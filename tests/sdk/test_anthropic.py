"""The official Anthropic SDK against the gateway: nothing is configured but its base URL and key."""

import asyncio

import anthropic
import pytest
from conftest import KEY, TEXT_ROUTES, TOOL_ROUTES, URL, WEATHER

HI = [{"role": "user", "content": "hi"}]
TOOLS = [{"name": "weather", "input_schema": WEATHER}]
# This version of the SDK has no parameter for it; the API still takes it.
GREEDY = {"temperature": 0}


@pytest.mark.parametrize("route", TEXT_ROUTES)
def test_a_whole_answer(anthropic_client, route):
    answer = anthropic_client.messages.create(model=route, max_tokens=64, messages=HI)
    assert (answer.type, answer.role, answer.stop_reason) == ("message", "assistant", "end_turn")
    assert [block.text for block in answer.content] == ["hello"]
    assert answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0) == 11
    assert answer.usage.output_tokens == 7
    assert answer._request_id.startswith("req_")


@pytest.mark.parametrize("route", TEXT_ROUTES)
def test_a_stream(anthropic_client, route):
    with anthropic_client.messages.stream(model=route, max_tokens=64, messages=HI) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    for kind in ["content_block_start", "text", "content_block_stop", "message_delta"]:
        assert kind in kinds
    assert final.content[0].text == "hello" and final.stop_reason == "end_turn"
    assert final.usage.output_tokens == 7


@pytest.mark.parametrize("route", TOOL_ROUTES)
def test_a_tool_call_and_its_result(anthropic_client, route):
    answer = anthropic_client.messages.create(model=route, max_tokens=64, messages=HI, tools=TOOLS)
    assert answer.stop_reason == "tool_use"
    call = next(block for block in answer.content if block.type == "tool_use")
    assert (call.name, call.input) == ("weather", {"city": "Linz"})
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sun"}]}
    turn = {"role": "assistant", "content": answer.content}
    again = anthropic_client.messages.create(model=route, max_tokens=64, messages=[*HI, turn, result], tools=TOOLS)
    assert again.stop_reason == "tool_use"


@pytest.mark.parametrize("route", TOOL_ROUTES)
def test_a_streamed_tool_call(anthropic_client, route):
    with anthropic_client.messages.stream(model=route, max_tokens=64, messages=HI, tools=TOOLS) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_message()
    assert "input_json" in kinds
    call = next(block for block in final.content if block.type == "tool_use")
    assert (call.name, call.input, final.stop_reason) == ("weather", {"city": "Linz"}, "tool_use")


def test_tokens_are_counted(anthropic_client):
    counted = anthropic_client.messages.count_tokens(model="count", messages=HI, system="Be brief.", tools=TOOLS)
    assert counted.input_tokens == 14


def test_tokens_that_nobody_counts(anthropic_client):
    with pytest.raises(anthropic.BadRequestError) as caught:
        anthropic_client.messages.count_tokens(model="openai-text", messages=HI)
    assert "count_tokens" in str(caught.value)


def test_headers_say_who_served(anthropic_client):
    raw = anthropic_client.messages.with_raw_response.create(model="anthropic-text", max_tokens=64, messages=HI)
    assert raw.headers["x-backstop-served-by"] == "far/text"
    assert raw.headers["request-id"] == raw.parse()._request_id


def test_a_wrong_key(anthropic_client):
    with pytest.raises(anthropic.AuthenticationError) as caught:
        anthropic_client.with_options(api_key="sk-bs-wrong").messages.create(
            model="openai-text", max_tokens=64, messages=HI
        )
    assert caught.value.body["error"]["type"] == "authentication_error"
    assert caught.value.request_id == caught.value.body["request_id"]


def test_an_unknown_model(anthropic_client):
    with pytest.raises(anthropic.NotFoundError) as caught:
        anthropic_client.messages.create(model="openai-txet", max_tokens=64, messages=HI)
    assert caught.value.body["error"]["type"] == "not_found_error"


def test_a_field_that_cannot_be_carried(anthropic_client):
    with pytest.raises(anthropic.BadRequestError) as caught:
        anthropic_client.messages.create(
            model="openai-text", max_tokens=64, messages=HI, extra_body={"top_k": 4}
        )
    assert "top_k" in str(caught.value)


@pytest.mark.parametrize("route", ["openai-limited", "anthropic-limited"])
def test_a_limit(anthropic_client, route):
    with pytest.raises(anthropic.RateLimitError) as caught:
        anthropic_client.messages.create(model=route, max_tokens=64, messages=HI)
    assert caught.value.body["error"]["type"] == "rate_limit_error"


@pytest.mark.parametrize("route", ["openai-down", "anthropic-down"])
def test_nobody_can_answer(anthropic_client, route):
    with pytest.raises(anthropic.APIStatusError) as caught:
        anthropic_client.messages.create(model=route, max_tokens=64, messages=HI)
    assert caught.value.status_code in (503, 529)
    assert caught.value.body["type"] == "error"


@pytest.mark.parametrize("route", ["openai-breaks", "anthropic-breaks"])
def test_a_stream_that_breaks_is_an_exception(anthropic_client, route):
    seen = ""
    with pytest.raises(anthropic.APIError):
        with anthropic_client.messages.stream(model=route, max_tokens=64, messages=HI) as stream:
            for text in stream.text_stream:
                seen += text
    assert seen == "he"


def test_the_async_client():
    async def ask():
        async with anthropic.AsyncAnthropic(base_url=URL, api_key=KEY, max_retries=0) as client:
            async with client.messages.stream(model="openai-text", max_tokens=64, messages=HI) as stream:
                return "".join([text async for text in stream.text_stream])

    assert asyncio.run(ask()) == "hello"


CAPITAL = [{"role": "user", "content": "What is the capital of Japan?"}]
SYSTEM = "You are a helpful assistant."


def test_the_local_model(anthropic_client):
    ask = {"model": "local", "max_tokens": 16, "messages": CAPITAL, "extra_body": GREEDY}
    raw = anthropic_client.messages.with_raw_response.create(**ask, system=SYSTEM)
    assert raw.headers["x-backstop-served-by"] == "local/smollm2-135m-instruct"
    answer = raw.parse()
    assert "Tokyo" in answer.content[0].text and answer.usage.output_tokens <= 16
    counted = anthropic_client.messages.count_tokens(model="local", messages=CAPITAL, system=SYSTEM)
    assert counted.input_tokens == answer.usage.input_tokens
    with anthropic_client.messages.stream(**ask, system=SYSTEM) as stream:
        assert "".join(stream.text_stream) == answer.content[0].text


def test_a_tool_of_the_local_model(anthropic_client):
    answer = anthropic_client.messages.create(
        model="local",
        max_tokens=60,
        extra_body=GREEDY,
        messages=[{"role": "user", "content": "What is the weather in Linz?"}],
        tools=TOOLS,
        tool_choice={"type": "any"},
    )
    call = next(block for block in answer.content if block.type == "tool_use")
    assert call.name == "weather" and isinstance(call.input["city"], str)
    assert answer.stop_reason == "tool_use"


def test_every_vendor_is_down_and_the_local_model_answers(anthropic_client):
    raw = anthropic_client.messages.with_raw_response.create(
        model="outage", max_tokens=16, system=SYSTEM, messages=CAPITAL, extra_body=GREEDY
    )
    assert raw.headers["x-backstop-served-by"] == "local/smollm2-135m-instruct"
    assert "Tokyo" in raw.parse().content[0].text
