"""What every generator shares: a source of chance that no Python version changes, an item's form, and reading and writing.

A generator is a module with NAME, SEED and items(). It never reads a clock, the network or the environment, so the same
script always writes the same bytes.
"""

import hashlib
import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUITES = HERE.parent
LICENSE = "CC0-1.0"


class Draw:
    """Chance by seed. Made from SHA-256, because `random` promises its sequences only within one Python version."""

    def __init__(self, *seed):
        self.seed = ":".join(str(part) for part in seed)
        self.count = 0

    def below(self, limit):
        """An integer from 0 to limit - 1. The bias of the modulus is below 2^-40 for every limit used here."""
        self.count += 1
        digest = hashlib.sha256(f"{self.seed}#{self.count}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % limit

    def between(self, low, high):
        return low + self.below(high - low + 1)

    def pick(self, options):
        return options[self.below(len(options))]

    def shuffled(self, options):
        rest, out = list(options), []
        while rest:
            out.append(rest.pop(self.below(len(rest))))
        return out

    def sample(self, options, count):
        return self.shuffled(options)[:count]


def item(id, messages, checks, slices, *, split="gate", severity="major", cluster=None, provenance, **more):
    """One item, its keys in the order the files have them. `more`: tools, tool_choice, response_format, max_tokens, stop, asks."""
    known = ["tools", "tool_choice", "response_format", "max_tokens", "stop", "asks"]
    unknown = [key for key in more if key not in known]
    if unknown:
        raise SystemExit(f"{id}: {unknown} is not a field of an item")
    out = {"id": id, "messages": messages}
    out.update({key: more[key] for key in known if more.get(key) is not None})
    out["slices"] = slices
    if cluster:
        out["cluster"] = cluster
    out.update(split=split, severity=severity, provenance=provenance, license=LICENSE, checks=checks)
    return out


def system(text):
    return {"role": "system", "content": text}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, tool_calls=None):
    message = {"role": "assistant", "content": text}
    if tool_calls:
        message["tool_calls"] = tool_calls
    return message


def tool_call(id, name, arguments):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def tool_result(id, text):
    return {"role": "tool", "tool_call_id": id, "content": text}


def function(name, description, properties, required=None):
    """A tool in OpenAI's form; without `required` every property is."""
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": list(properties) if required is None else required,
                "additionalProperties": False,
            },
        },
    }


def hand(name):
    """The items of NAME.hand.jsonl, as they stand there: what a suite asks by hand, in the short form its script reads."""
    out = []
    for number, line in enumerate((HERE / f"{name}.hand.jsonl").read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                out.append(json.loads(line))
            except ValueError as error:
                raise SystemExit(f"{name}.hand.jsonl:{number}: {error}") from None
    return out


def text_of(items):
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in items)


def path_of(name):
    return SUITES / f"{name}.jsonl"


def write(name, items):
    path_of(name).write_text(text_of(items), encoding="utf-8", newline="\n")
    print(f"{path_of(name).name}: {len(items)} items")
