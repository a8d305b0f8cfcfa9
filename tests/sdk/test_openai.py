"""The official OpenAI SDK against the gateway: nothing is configured but its base URL and key."""

import asyncio
import json

import openai
import pytest
from conftest import KEY, TEXT_ROUTES, TOOL_ROUTES, URL, WEATHER

HI = [{"role": "user", "content": "hi"}]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]


@pytest.mark.parametrize("route", TEXT_ROUTES)
def test_a_whole_answer(openai_client, route):
    answer = openai_client.chat.completions.create(model=route, messages=HI)
    assert answer.choices[0].message.content == "hello"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (11, 7, 18)
    assert answer.usage.prompt_tokens_details.cached_tokens in (0, 3)
    assert answer._request_id.startswith("req_")


@pytest.mark.parametrize("route", TEXT_ROUTES)
def test_a_stream(openai_client, route):
    with openai_client.chat.completions.create(model=route, messages=HI, stream=True) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "hello"
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
    assert all(chunk.usage is None for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.parametrize("route", TEXT_ROUTES)
def test_a_stream_with_usage(openai_client, route):
    options = {"include_usage": True}
    chunks = list(openai_client.chat.completions.create(model=route, messages=HI, stream=True, stream_options=options))
    used = [chunk for chunk in chunks if chunk.usage]
    assert len(used) == 1 and used[0] is chunks[-1] and used[0].choices == []
    assert (used[0].usage.prompt_tokens, used[0].usage.completion_tokens) == (11, 7)


@pytest.mark.parametrize("route", TOOL_ROUTES)
def test_a_tool_call_and_its_result(openai_client, route):
    answer = openai_client.chat.completions.create(model=route, messages=HI, tools=TOOLS)
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    call = message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Linz"})
    result = {"role": "tool", "tool_call_id": call.id, "content": "sun"}
    again = openai_client.chat.completions.create(model=route, messages=[*HI, message, result], tools=TOOLS)
    assert again.choices[0].message.tool_calls[0].function.name == "weather"


@pytest.mark.parametrize("route", TOOL_ROUTES)
def test_a_streamed_tool_call(openai_client, route):
    with openai_client.chat.completions.stream(model=route, messages=HI, tools=TOOLS) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    assert any(event.type == "tool_calls.function.arguments.delta" for event in events)
    call = final.choices[0].message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Linz"})
    assert final.choices[0].finish_reason == "tool_calls"


def test_embeddings(openai_client):
    # The SDK asks for base64 by itself and unpacks it.
    answer = openai_client.embeddings.create(model="embed", input=["one", "two"])
    assert [item.embedding for item in answer.data] == [[0.5, -0.25], [1.0, 0.0]]
    assert [item.index for item in answer.data] == [0, 1]
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (4, 4)
    plain = openai_client.embeddings.create(model="embed", input=["one", "two"], encoding_format="float")
    assert plain.data[0].embedding == [0.5, -0.25]


def test_embeddings_of_a_model_that_makes_none(openai_client):
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.embeddings.create(model="anthropic-text", input="one")
    assert "/v1/embeddings" in str(caught.value)


def test_headers_say_who_served(openai_client):
    raw = openai_client.chat.completions.with_raw_response.create(model="openai-text", messages=HI)
    assert raw.headers["x-backstop-served-by"] == "near/text"
    assert raw.headers["x-backstop-fallback"] == "0"
    assert raw.headers["x-request-id"] == raw.parse()._request_id


def test_models_are_the_routes(openai_client):
    assert {*TEXT_ROUTES, *TOOL_ROUTES, "local"} <= {model.id for model in openai_client.models.list()}


def test_a_wrong_key(openai_client):
    with pytest.raises(openai.AuthenticationError) as caught:
        openai_client.with_options(api_key="sk-bs-wrong").chat.completions.create(model="openai-text", messages=HI)
    assert caught.value.request_id.startswith("req_")


def test_an_unknown_model(openai_client):
    with pytest.raises(openai.NotFoundError) as caught:
        openai_client.chat.completions.create(model="openai-txet", messages=HI)
    assert caught.value.code == "model_not_found" and "openai-text" in str(caught.value)


def test_a_field_that_cannot_be_carried(openai_client):
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.chat.completions.create(model="anthropic-text", messages=HI, n=2)
    assert caught.value.param == "n"


@pytest.mark.parametrize("route", ["openai-limited", "anthropic-limited"])
def test_a_limit(openai_client, route):
    with pytest.raises(openai.RateLimitError) as caught:
        openai_client.chat.completions.create(model=route, messages=HI)
    assert int(caught.value.response.headers["retry-after"]) >= 1


@pytest.mark.parametrize("route", ["openai-down", "anthropic-down"])
def test_nobody_can_answer(openai_client, route):
    with pytest.raises(openai.InternalServerError) as caught:
        openai_client.chat.completions.create(model=route, messages=HI)
    assert caught.value.status_code == 503


@pytest.mark.parametrize("route", ["openai-breaks", "anthropic-breaks"])
def test_a_stream_that_breaks_is_an_exception(openai_client, route):
    seen = ""
    with pytest.raises(openai.APIError):
        for chunk in openai_client.chat.completions.create(model=route, messages=HI, stream=True):
            seen += chunk.choices[0].delta.content or ""
    assert seen == "he"


def test_the_async_client():
    async def ask():
        async with openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0) as client:
            stream = await client.chat.completions.create(model="anthropic-text", messages=HI, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

    assert asyncio.run(ask()) == "hello"


CAPITAL = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "What is the capital of Japan?"},
]


def test_the_local_model(openai_client):
    raw = openai_client.chat.completions.with_raw_response.create(
        model="local", messages=CAPITAL, max_tokens=16, temperature=0
    )
    assert raw.headers["x-backstop-served-by"] == "local/smollm2-135m-instruct"
    answer = raw.parse()
    assert "Tokyo" in answer.choices[0].message.content
    assert 1 <= answer.usage.completion_tokens <= 16 and answer.usage.prompt_tokens > 5

    stream = openai_client.chat.completions.create(
        model="local", messages=CAPITAL, max_tokens=16, temperature=0, stream=True
    )
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert streamed == answer.choices[0].message.content


def test_log_probabilities_and_several_answers_of_the_local_model(openai_client):
    answer = openai_client.chat.completions.create(
        model="local", messages=CAPITAL, max_tokens=8, temperature=0, n=2, logprobs=True, top_logprobs=3
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    for choice in answer.choices:
        tokens = choice.logprobs.content
        assert "".join(token.token for token in tokens) == choice.message.content
        assert all(token.logprob == token.top_logprobs[0].logprob for token in tokens)
        assert all(bytes(token.bytes).decode() == token.token for token in tokens)


def test_a_text_is_scored_by_the_local_model(openai_client):
    text = "The sky is blue and the grass is green."
    scored = openai_client.completions.create(
        model="local", prompt=text, max_tokens=0, echo=True, logprobs=2, temperature=0
    )
    choice = scored.choices[0]
    assert choice.text == text and choice.finish_reason == "length"
    assert "".join(choice.logprobs.tokens) == text
    assert choice.logprobs.token_logprobs[0] is None
    assert all(logprob < 0 for logprob in choice.logprobs.token_logprobs[1:])
    assert all(text[at:].startswith(token) for at, token in zip(choice.logprobs.text_offset, choice.logprobs.tokens))
    odd = openai_client.completions.create(
        model="local", prompt="The sky is blue and the grass is loud.", max_tokens=0, echo=True, logprobs=0
    )
    scores = [sum(completion.choices[0].logprobs.token_logprobs[1:]) for completion in (scored, odd)]
    assert scores[0] > scores[1]
    stream = openai_client.completions.create(model="local", prompt="One, two,", max_tokens=6, temperature=0, stream=True)
    chunks = list(stream)
    whole = openai_client.completions.create(model="local", prompt="One, two,", max_tokens=6, temperature=0)
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == whole.choices[0].text


def test_a_tool_of_the_local_model(openai_client):
    answer = openai_client.chat.completions.create(
        model="local",
        messages=[{"role": "user", "content": "What is the weather in Linz?"}],
        tools=TOOLS,
        tool_choice="required",
        max_tokens=60,
        temperature=0,
    )
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)
    assert answer.choices[0].finish_reason == "tool_calls"


def test_every_vendor_is_down_and_the_local_model_answers(openai_client):
    raw = openai_client.chat.completions.with_raw_response.create(
        model="outage", messages=CAPITAL, max_tokens=16, temperature=0
    )
    assert raw.headers["x-backstop-served-by"] == "local/smollm2-135m-instruct"
    assert "Tokyo" in raw.parse().choices[0].message.content
