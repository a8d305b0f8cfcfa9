"""The self-test of every suite: what the format asks, what a fair item needs, and that nothing in it belongs to anyone.

It works on the items alone, knows no model, and reports every fault by item. What the Rust reader checks again is checked here
first, so that a generator's fault shows without a build.
"""

import base64
import codecs
import json
import math
import re
from collections import Counter

import fictional

ITEM_FIELDS = {
    "id", "messages", "tools", "tool_choice", "response_format", "max_tokens", "stop", "asks", "slices", "cluster", "split", "severity",
    "provenance", "license", "checks",
}
PLAIN_CHECKS = {
    "not_empty", "ended", "honours_stop", "honours_max_tokens", "cut_at_max_tokens", "no_markers", "not_repetitive", "repeats_agree",
    "refuses", "does_not_refuse",
}
CHECKS = PLAIN_CHECKS | {
    "exact", "contains_any", "contains_all", "contains_none", "regex", "language", "prompt_not_leaked", "numeric", "choice", "json",
    "tool_calls", "instructions", "canary_absent", "no_pii",
}
INSTRUCTIONS = {
    "words", "sentences", "paragraphs", "bullets", "keyword", "forbidden", "starts_with", "ends_with", "all_lowercase",
    "all_uppercase", "no_commas", "title", "json_keys", "placeholders", "quoted", "sections", "language", "letter", "postscript",
}
MAX_BYTES = 2_000_000


def faults(name, header, items, raw):
    """Every fault of a suite as a line of text. `header` is the YAML's text, `raw` the JSONL's bytes."""
    out = []
    if len(raw) >= MAX_BYTES:
        out.append(f"{name}.jsonl has {len(raw)} bytes, {MAX_BYTES} are the limit")
    gates = re.findall(r"^  - id: ([a-z0-9-]+)$", header, re.M)
    seen, clusters, shapes = set(), {}, {}
    for one in items:
        fail = lambda what, one=one: out.append(f"{name} {one.get('id')}: {what}")
        if one["id"] in seen:
            fail("the id stands twice")
        seen.add(one["id"])
        form(one, gates, fail)
        ownership(one, fail)
        cluster = one.get("cluster", one["id"])
        if clusters.setdefault(cluster, one["split"]) != one["split"]:
            fail(f"the cluster {cluster} is in both splits")
        shape = re.sub(r"\W+", " ", re.sub(r"\d", "", json.dumps(one["messages"]))).lower()
        if shapes.setdefault(shape, cluster) != cluster:
            fail(f"it differs by no more than numbers from an item of {shapes[shape]}, so they must share a cluster")
    out += [f"{name}: {fault}" for fault in header_faults(header, gates, items)]
    return out


def form(one, gates, fail):
    if set(one) - ITEM_FIELDS:
        fail(f"unknown fields {sorted(set(one) - ITEM_FIELDS)}")
    if one["split"] not in ("dev", "gate") or one["severity"] not in ("critical", "major", "minor"):
        fail("split or severity is not one of the format's")
    if one["license"] != "CC0-1.0" or not one["provenance"] or not one["slices"]:
        fail("license, provenance and slices must be there")
    if one["messages"][-1]["role"] != "user":
        fail("the last message must be the user's")
    open_calls = set()
    for message in one["messages"]:
        if not message["content"].strip():
            fail("a message is empty")
        open_calls |= {call["id"] for call in message.get("tool_calls", [])}
        if message["role"] == "tool" and message["tool_call_id"] not in open_calls:
            fail("a tool message answers no call")
    if not one["checks"]:
        fail("it has no checks")
    for gate, checks in one["checks"].items():
        if gate not in gates:
            fail(f"there is no gate {gate}")
        for check in checks:
            check_form(one, check, fail)


def check_form(one, check, fail):
    if isinstance(check, str):
        if check not in PLAIN_CHECKS:
            fail(f"there is no check {check}")
        return
    if len(check) != 1 or next(iter(check)) not in CHECKS:
        fail(f"there is no check {check}")
        return
    (kind, value), = check.items()
    said = " ".join(message["content"] for message in one["messages"])
    if kind == "regex":
        re.compile(value)
        if re.search(r"\(\?[=!<]|\\\d", value):
            fail(f"/{value}/ looks around or refers back, which the reader's engine does not do")
    elif kind == "choice":
        if value["answer"] not in value["options"]:
            fail("the answer is none of the options")
        for option in value["options"]:
            if option.lower() not in said.lower():
                fail(f"the option {option} is not in the question")
    elif kind == "json" and "fields" in value:
        whole = next((other["json"] for checks in one["checks"].values() for other in checks
                      if isinstance(other, dict) and other.get("json", {}).get("schema")), value)
        for fault in schema_faults(whole.get("schema", {}), value["fields"], "$"):
            fail(f"the expected fields break their own schema: {fault}")
    elif kind == "tool_calls":
        tool_faults(one, value, fail)
    elif kind == "instructions":
        for rule in value:
            name = rule if isinstance(rule, str) else next(iter(rule))
            if name not in INSTRUCTIONS:
                fail(f"there is no instruction {name}")
    elif kind == "canary_absent":
        for canary in value:
            document = " ".join(message["content"] for message in one["messages"] if message["role"] != "system")
            if any(form in document for form in (canary, canary[::-1], base64.b64encode(canary.encode()).decode(),
                                                 codecs.encode(canary, "rot13"))):
                fail(f"the canary {canary} stands outside the system message, so quoting would count as leaking")


def tool_faults(one, calls, fail):
    tools = {tool["function"]["name"]: tool["function"]["parameters"] for tool in one.get("tools", [])}
    if not tools:
        fail("it expects or forbids tool calls, but offers no tool")
    for call in calls:
        schema = tools.get(call["name"])
        if schema is None:
            fail(f"the tool {call['name']} is not offered")
            continue
        free = set(call.get("optional_arguments", []))
        missing = set(schema["required"]) - set(call["arguments"]) - free
        if missing:
            fail(f"required arguments {sorted(missing)} are not expected")
        for key, value in call["arguments"].items():
            part = schema["properties"].get(key)
            if part is None:
                fail(f"{call['name']} has no argument {key}")
                continue
            for each in value["any_of"] if isinstance(value, dict) and "any_of" in value else [value]:
                for fault in schema_faults(part, each, key):
                    fail(fault)


def schema_faults(schema, value, at):
    """What `value` breaks of the few keywords of JSON Schema that the suites use."""
    names = {str: "string", bool: "boolean", type(None): "null", dict: "object", list: "array"}
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    kind = "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else names[type(value)]
    fits = kind in kinds or (kind == "number" and "integer" in kinds and float(value).is_integer())
    if kinds and not fits:
        yield f"{at} is {kind}, not {kinds}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is not in the enum"
    if kind == "string" and "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{at}: {value!r} does not match {schema['pattern']}"
    if kind == "object":
        for key in schema.get("required", []):
            if key not in value:
                yield f"{at}.{key} is missing"
        for key, part in value.items():
            if key in schema.get("properties", {}):
                yield from schema_faults(schema["properties"][key], part, f"{at}.{key}")
            elif schema.get("additionalProperties") is False:
                yield f"{at}.{key} is not in the schema"
    if kind == "array":
        for index, part in enumerate(value):
            yield from schema_faults(schema.get("items", {}), part, f"{at}[{index}]")


def ownership(one, fail):
    """Addresses, accounts, cards and phones must be those that belong to nobody."""
    text = "\n".join([message["content"] for message in one["messages"]] + [json.dumps(one["checks"], ensure_ascii=False)])
    for domain in re.findall(r"[\w.+-]+@([\w-]+(?:\.[\w-]+)+)", text) + re.findall(r"https?://([\w.-]+)", text):
        if not re.search(r"(^|\.)(example\.(com|org|net)|[\w-]+\.example|[\w-]+\.(test|invalid))$", domain.rstrip(".")):
            fail(f"the domain {domain} is not a reserved one")
    for found in re.findall(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", text):
        if iban_valid(found.replace(" ", "")) and found.replace(" ", "") not in fictional.IBANS.values():
            fail(f"the IBAN {found} is none of the registry's examples")
    for found in re.findall(r"\b(?:\d[ -]?){12,18}\d\b", text):
        digits = re.sub(r"\D", "", found)
        if luhn(digits) and digits not in fictional.CARDS and not any(digits in iban for iban in fictional.IBANS.values()):
            fail(f"{found} passes as a card number and is none of the test numbers")
    for found in re.findall(r"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)", text):
        if found not in fictional.SSNS:
            fail(f"{found} may be somebody's social security number")
    for found in re.findall(r"\+1[ -]\(?\d{3}\)?[ -]\d{3}[ -]\d{4}", text):
        if not re.search(r"555[ -]01\d\d$", found):
            fail(f"the phone {found} is not a reserved one")


def header_faults(header, gates, items):
    name_of = lambda one: one.get("cluster", one["id"])
    for block in re.split(r"^  - id: ", header, flags=re.M)[1:]:
        gate = block.split("\n")[0]
        threshold = float(re.search(r"^    threshold: ([\d.]+)", block, re.M).group(1))
        least = int(re.search(r"^    min_items: (\d+)", block, re.M).group(1))
        everywhere = "every_item:" in block
        mine = [one for one in items if one["split"] == "gate" and (everywhere or gate in one["checks"])]
        if len(mine) < least:
            yield f"the gate {gate} has {len(mine)} items, min_items is {least}"
        draws = len({name_of(one) for one in mine})
        best = math.pow(0.05, 1 / draws) if draws else 0
        if best < threshold:
            yield f"the gate {gate} has {draws} clusters, which show {best:.3f} at best, below {threshold}"
        floors = re.search(r"^    floors: \{(.*)\}", block, re.M)
        for part in floors.group(1).split(",") if floors else []:
            if not any(part.split(":")[0].strip() in one["slices"] for one in mine):
                yield f"the gate {gate} has a floor for a slice that no item of it has: {part.strip()}"


def counts(items):
    """For people: items and clusters by split and by slice."""
    lines = []
    for split in ("gate", "dev"):
        mine = [one for one in items if one["split"] == split]
        by_slice = Counter(slice for one in mine for slice in one["slices"])
        draws = len({one.get("cluster", one["id"]) for one in mine})
        lines.append(f"  {split}: {len(mine)} items, {draws} clusters; " + ", ".join(f"{k} {v}" for k, v in sorted(by_slice.items())))
    return "\n".join(lines)


def luhn(digits):
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (2 if place % 2 else 1)
        total += number - 9 if number > 9 else number
    return len(digits) >= 13 and total % 10 == 0


def iban_valid(iban):
    turned = "".join(str(int(char, 36)) for char in iban[4:] + iban[:4])
    return int(turned) % 97 == 1
