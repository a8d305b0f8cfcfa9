// The official OpenAI package for Node against the gateway: nothing is configured but its base URL and key.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

const { BACKSTOP_URL, BACKSTOP_KEY } = process.env;
if (!BACKSTOP_URL || !BACKSTOP_KEY) throw new Error("BACKSTOP_URL and BACKSTOP_KEY are not set: run tests/run sdk");

const client = new OpenAI({ baseURL: `${BACKSTOP_URL}/v1`, apiKey: BACKSTOP_KEY, maxRetries: 0, timeout: 90_000 });
const messages = [{ role: "user", content: "hi" }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "weather", parameters } }];

for (const route of ["openai-text", "anthropic-text"]) {
  test(`${route}: a whole answer`, async () => {
    const { data, response, request_id } = await client.chat.completions.create({ model: route, messages }).withResponse();
    assert.equal(data.choices[0].message.content, "hello");
    assert.equal(data.usage.total_tokens, 18);
    assert.match(request_id, /^req_/);
    assert.match(response.headers.get("x-backstop-served-by"), /\/text$/);
  });

  test(`${route}: a stream`, async () => {
    const stream = await client.chat.completions.create({ model: route, messages, stream: true });
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
    assert.equal(text, "hello");
  });
}

for (const route of ["openai-tool", "anthropic-tool"]) {
  test(`${route}: a tool call, whole and streamed`, async () => {
    const whole = await client.chat.completions.create({ model: route, messages, tools });
    assert.equal(whole.choices[0].finish_reason, "tool_calls");
    assert.deepEqual(JSON.parse(whole.choices[0].message.tool_calls[0].function.arguments), { city: "Linz" });
    const final = await client.chat.completions.stream({ model: route, messages, tools }).finalChatCompletion();
    assert.equal(final.choices[0].message.tool_calls[0].function.name, "weather");
    assert.deepEqual(JSON.parse(final.choices[0].message.tool_calls[0].function.arguments), { city: "Linz" });
  });
}

test("embeddings", async () => {
  // The package asks for base64 by itself and unpacks it.
  const answer = await client.embeddings.create({ model: "embed", input: ["one", "two"] });
  assert.deepEqual(answer.data.map((item) => Array.from(item.embedding)), [[0.5, -0.25], [1, 0]]);
  assert.equal(answer.usage.prompt_tokens, 4);
});

test("errors are the package's own", async () => {
  const create = (body, options) => client.chat.completions.create({ messages, ...body }, options);
  const wrong = new OpenAI({ baseURL: `${BACKSTOP_URL}/v1`, apiKey: "sk-bs-wrong", maxRetries: 0 });
  await assert.rejects(wrong.chat.completions.create({ model: "openai-text", messages }), OpenAI.AuthenticationError);
  await assert.rejects(create({ model: "openai-txet" }), OpenAI.NotFoundError);
  await assert.rejects(create({ model: "anthropic-text", n: 2 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "n");
    return true;
  });
  await assert.rejects(create({ model: "openai-limited" }), OpenAI.RateLimitError);
  await assert.rejects(create({ model: "openai-down" }), OpenAI.InternalServerError);
});

test("a stream that breaks is an exception", async () => {
  const stream = await client.chat.completions.create({ model: "openai-breaks", messages, stream: true });
  let text = "";
  await assert.rejects(async () => {
    for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
  }, OpenAI.APIError);
  assert.equal(text, "he");
});

test("the local model answers, also when every vendor is down", async () => {
  const system = { role: "system", content: "You are a helpful assistant." };
  const user = { role: "user", content: "What is the capital of Japan?" };
  const ask = { messages: [system, user], max_tokens: 16, temperature: 0 };
  for (const model of ["local", "outage"]) {
    const { data, response } = await client.chat.completions.create({ model, ...ask }).withResponse();
    assert.equal(response.headers.get("x-backstop-served-by"), "local/smollm2-135m-instruct");
    assert.match(data.choices[0].message.content, /Tokyo/);
    const stream = await client.chat.completions.create({ model, ...ask, stream: true });
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
    assert.equal(text, data.choices[0].message.content);
  }
});

for (const side of ["openai", "anthropic", "native"]) {
  test(`${side}: responses, whole, streamed and cut`, async () => {
    const whole = await client.responses.create({ model: `${side}-text`, input: "hi" });
    assert.equal(whole.output_text, "hello");
    assert.equal(whole.usage.total_tokens, 18);
    const stream = client.responses.stream({ model: `${side}-text`, input: "hi" });
    let text = "";
    for await (const event of stream) if (event.type === "response.output_text.delta") text += event.delta;
    assert.equal(text, "hello");
    assert.equal((await stream.finalResponse()).status, "completed");
    const types = [];
    await assert.rejects(async () => {
      const cut = await client.responses.create({ model: `${side}-breaks`, input: "hi", stream: true });
      for await (const event of cut) types.push(event.type);
    }, OpenAI.APIError);
    assert.ok(types.includes("response.output_text.delta") && !types.includes("response.completed"));
  });
}
