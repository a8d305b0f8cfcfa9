// The console in Chromium. One operator by a token, one by the identity provider, and a page of another site that means harm.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";

import { chromium } from "playwright-core";

const { BACKSTOP_CONSOLE: console_, BACKSTOP_TOKEN: token, BACKSTOP_HOSTILE: hostile } = process.env;
if (!console_ || !token || !hostile) throw new Error("BACKSTOP_CONSOLE is not set: run tests/run browser");

const PHONE = { width: 360, height: 740 };
const DESK = { width: 1280, height: 800 };
const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);

let browser;

before(async () => {
  // Chromium's own sandbox does not start for root, who runs this in containers, where shared memory is small, too.
  const args = process.getuid() === 0 ? ["--no-sandbox", "--disable-dev-shm-usage"] : [];
  browser = await chromium.launch({ executablePath, args });
});

after(() => browser?.close());

/** A page of a browser that knows nothing yet, and what went wrong on it: scripts that ran, rules of the page's policy that were broken. */
async function fresh(options = {}) {
  const context = await browser.newContext({ viewport: DESK, ...options });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  const faults = [];
  page.on("dialog", (dialog) => {
    faults.push(`a script ran: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("console", (said) => said.type() === "error" && said.location().url.startsWith(console_) && faults.push(said.text()));
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("requestfailed", (request) => faults.push(`${request.url()}: ${request.failure().errorText}`));
  return { context, page, faults };
}

async function log_in(page) {
  await page.goto(`${console_}/console`);
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
}

test("every page opens, is styled, fits a desk and a phone, and runs nothing", async () => {
  const { context, page, faults } = await fresh();
  await log_in(page);
  const links = async () => page.$$eval("a[href]", (all) => all.map((one) => one.href));
  const own = (href) => href.startsWith(`${console_}/console`) && !href.includes("#");
  const todo = (await links()).filter(own);
  const seen = new Set();
  while (todo.length > 0 && seen.size < 60) {
    const href = todo.shift();
    if (seen.has(href)) continue;
    seen.add(href);
    const response = await page.goto(href);
    assert.equal(response.status(), 200, href);
    const drawn = await page.evaluate(() => ({
      charset: document.characterSet,
      margin: getComputedStyle(document.body).margin,
      title: document.title,
      heading: document.querySelectorAll("h1").length,
    }));
    assert.deepEqual({ ...drawn, title: undefined }, { charset: "UTF-8", margin: "0px", title: undefined, heading: 1 }, href);
    assert.match(drawn.title, /Backstop/);
    for (const size of [DESK, PHONE]) {
      await page.setViewportSize(size);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(over <= 0, `${href} is ${over} px wider than a window of ${size.width}`);
    }
    todo.push(...(await links()).filter(own));
  }
  const paths = [...seen].map((href) => new URL(href).pathname);
  for (const path of ["/console/routes/chat", "/console/audit", "/console/usage", "/console/share", "/console/card", "/console/routes/chat/rollback"]) {
    assert.ok(paths.includes(path), `no link leads to ${path}: ${paths}`);
  }
  await page.goto(`${console_}/console/routes/chat`);
  assert.ok(await page.getByText(hostile).first().isVisible(), "a reason is shown as what it is");
  assert.deepEqual(faults, []);
  await context.close();
});

test("a login at an identity provider on another site arrives, and the page after it is one's own", async () => {
  const { context, page, faults } = await fresh();
  await page.goto(`${console_}/console`);
  await page.getByRole("link", { name: /^Log in at/ }).click();
  await page.waitForURL(/\/authorize\?/);
  assert.notEqual(new URL(page.url()).hostname, new URL(console_).hostname);
  await page.getByRole("link", { name: "Let me in" }).click();
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  assert.equal(page.url(), `${console_}/console`, "no code stays in the address");
  assert.ok(await page.getByText("alice@example.com, operator").isVisible());
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByLabel("Token").waitFor();
  await page.goBack();
  assert.ok(await page.getByLabel("Token").isVisible(), "what was seen is not shown from a cache after the logout");
  assert.deepEqual(faults, []);
  await context.close();
});

test("a page of another site can neither press a button nor frame one", async () => {
  const { context, page } = await fresh();
  await log_in(page);
  const target = `${console_}/console/routes/chat/rollback`;
  const evil = `<!doctype html><title>evil</title><iframe src="${target}"></iframe>
    <form method="post" action="${target}"><input name="reason" value="pwned"><button>win a prize</button></form>`;
  await context.route("http://evil.example/**", (route) => route.fulfill({ contentType: "text/html", body: evil }));
  await page.goto("http://evil.example/");
  for (const frame of page.frames().slice(1)) {
    assert.equal(await frame.getByText("Roll back").count(), 0, "it is not shown in a frame");
  }
  const answer = page.waitForResponse((response) => response.request().method() === "POST");
  await page.getByRole("button", { name: "win a prize" }).click();
  assert.ok([303, 403].includes((await answer).status()));
  await page.goto(`${console_}/console`);
  assert.ok(await page.getByRole("heading", { level: 1, name: "Overview" }).isVisible(), "the operator stays logged in");
  await context.close();
});

test("on a phone without JavaScript a route is taken back, once, whatever is pressed", async () => {
  const { context, page, faults } = await fresh({ javaScriptEnabled: false, viewport: PHONE });
  await log_in(page);
  await page.getByRole("link", { name: "chat", exact: true }).first().click();
  await page.getByRole("link", { name: "Roll back…" }).click();
  const confirm = page.url();
  const button = page.getByRole("button", { name: "Roll back" });
  await button.click();
  assert.equal(page.url(), confirm, "the browser itself asks for the reason");
  await page.getByLabel(/^Why/).fill("customers complain");
  await button.dblclick();
  await page.getByText("Release 1 serves route chat in the place of release 2").waitFor();
  await page.getByText(/Traffic had shifted .* ms later/).waitFor();
  await page.goto(confirm);
  assert.ok(await page.getByText("was rolled back already").isVisible());
  assert.equal(await button.count(), 0);
  assert.deepEqual(faults.filter((fault) => !fault.includes("ERR_ABORTED")), []);
  await context.close();
});
