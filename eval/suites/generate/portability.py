"""stage2-portability: prompts that every good model answers in the same form, length and sense."""

import re

import answers
from portability_prompts import CHOICES, FORMS, KEYS, NUMBERS, SHORT, TEXTS, TURNS
from suitefile import Draw, assistant, item, system, user

NAME = "stage2-portability"
SEED = 1
DEV = {"number": 5, "choice": 5, "json": 4, "short": 3, "rewrite": 4, "turns": 2, "text": 7}
EVASIVE = "I am not sure, it depends; could you tell me more about this?"


def items():
    return [one for one, _ in pairs()]


def pairs():
    """Each item with an answer that meets all of its checks."""
    out = []
    for place, (prompt, expression, decimals) in enumerate(NUMBERS):
        value = round(eval(expression, {"__builtins__": {"round": round, "max": max}}), 6)
        tell = " Answer with the number alone, in digits, with a decimal point if need be, without thousands separators and currency."
        checks = {"format": [{"regex": r"^\s*-?\d+(\.\d+)?%?\.?\s*$"}], "meaning": [{"numeric": {"value": value, "tolerance": 0.005}}]}
        out.append(pair("number", place, None, prompt + tell, checks, f"{value:.{decimals}f}"))
    for place, (question, options, answer) in enumerate(CHOICES):
        names = options.split()
        ask = f"{question} Answer with one word, {names[0]} or {names[1]}."
        checks = {"format": [{"regex": r"(?i)^\W*(?:" + "|".join(names) + r")\W*$"}], "meaning": [{"choice": {"options": names, "answer": answer}}]}
        out.append(pair("choice", place, None, ask, checks, answer))
    for place, (text, keys, fields) in enumerate(KEYS):
        ask = f"Text: {text}\nAnswer with one JSON object and nothing around it, no code fence. Its keys: {keys}."
        checks = {"format": [{"instructions": [{"json_keys": list(fields)}]}], "meaning": [{"json": {"fields": fields, "f1": 1.0}}]}
        out.append(pair("json", place, None, ask, checks, answers.json.dumps(fields)))
    for place, (prompt, form, right) in enumerate(SHORT):
        checks = {"format": [{"regex": form}], "meaning": [{"contains_any": right}]}
        example = right[0] if ", " not in form else ", ".join(re.findall(r"\d{4} \d\d \d\d|\w+", right[0])).replace("-", " ")
        example = re.sub(r"(\d{4}) (\d\d) (\d\d)", r"\1-\2-\3", example)
        out.append(pair("short", place, None, prompt, checks, example))
    for place, (prompt, exact) in enumerate(FORMS):
        checks = {"format": [{"instructions": [{"paragraphs": {"exactly": 1}}, {"words": {"at_most": len(exact.split())}}]}], "meaning": [{"exact": exact}]}
        out.append(pair("rewrite", place, None, prompt + " Write the result alone, without a full stop or quotation marks of your own.", checks, exact))
    examples = {2: "650", 5: "CREDIT", 9: "01/05/2026"}
    for place, (before, question, form, right) in enumerate(TURNS):
        said = [assistant(text) if turn % 2 else user(text) for turn, text in enumerate(before)]
        checks = {"format": [{"regex": form}], "meaning": [{"contains_any": right}]}
        out.append(pair("turns", place, said, question, checks, examples.get(place, right[0])))
    for place, text in enumerate(TEXTS):
        checks = {"format": [{"instructions": text["format"]}], "length": [{"instructions": text["length"]}], "meaning": [{"contains_any": text["meaning"]}]}
        out.append(pair("text", place, [system(text["system"])] if text["system"] else None, text["prompt"], checks, text["example"], text["slice"]))
    return out


SIZES = {"number": len(NUMBERS), "choice": len(CHOICES), "json": len(KEYS), "short": len(SHORT), "rewrite": len(FORMS), "turns": len(TURNS), "text": len(TEXTS)}


def pair(kind, place, before, prompt, checks, example, slice=None):
    dev = Draw(NAME, SEED, "dev", kind).sample(range(SIZES[kind]), DEV[kind])
    one = item(
        f"{kind}-{place + 1:02d}", (before or []) + [user(prompt)], checks, [kind] + ([slice] if slice else []),
        split="dev" if place in dev else "gate", severity="minor" if kind == "text" else "major", provenance="by hand, 2026-11",
    )
    return one, example


def faults(_):
    """Every example meets all checks of its item, and an evasive answer misses the meaning."""
    for one, example in pairs():
        for gate, checks in one["checks"].items():
            for check in answers.misses(checks, example):
                yield f"{one['id']}: the example {example!r} misses {check} of {gate}"
        if not answers.misses(one["checks"]["meaning"], EVASIVE):
            yield f"{one['id']}: an evasive answer passes for right"
