"""What the SDK tests share: where the gateway is, and the clients that a user would make."""

import os

import anthropic
import openai
import pytest

URL = os.environ.get("BACKSTOP_URL")
KEY = os.environ.get("BACKSTOP_KEY")

# Routes by the dialect of the fake vendor behind them: the answer must not show which it is.
TEXT_ROUTES = ["openai-text", "anthropic-text"]
TOOL_ROUTES = ["openai-tool", "anthropic-tool"]

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}


def pytest_configure(config):
    if not URL or not KEY:
        raise pytest.UsageError("BACKSTOP_URL and BACKSTOP_KEY are not set: run tests/run sdk")


@pytest.fixture
def openai_client():
    with openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0, timeout=90) as client:
        yield client


@pytest.fixture
def anthropic_client():
    with anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=90) as client:
        yield client
