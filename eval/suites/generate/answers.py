"""A second reading of the checks, to try example answers with: what meets a check here should meet it in the Rust scorer too.

Not the scorer: it is simpler, and it is used for the self-test alone.
"""

import json
import re


def misses(checks, text):
    """The checks that the text does not meet."""
    return [check for check in checks if not meets(check, text)]


def words_of(text):
    return re.findall(r"[^\W_]+", text.lower())


def holds(text, phrase):
    words, wanted = words_of(text), words_of(phrase)
    return any(words[at:at + len(wanted)] == wanted for at in range(len(words)))


def meets(check, text):
    if isinstance(check, str):
        return {"not_empty": bool(text.strip()), "ended": True}[check]
    (kind, value), = check.items()
    if kind == "regex":
        return re.search(value, text) is not None
    if kind == "exact":
        return text.strip() == value
    if kind == "contains_any":
        return any(holds(text, phrase) for phrase in value)
    if kind == "choice":
        return [option for option in value["options"] if holds(text, option)] == [value["answer"]]
    if kind == "numeric":
        found = re.findall(r"-?\d[\d,]*(?:\.\d+)?", text)
        return len(found) == 1 and abs(float(found[0].replace(",", "")) - value["value"]) <= value["tolerance"] + 1e-9
    if kind == "json":
        try:
            return json.loads(text) == value["fields"]
        except ValueError:
            return False
    if kind == "instructions":
        return all(kept(rule, text) for rule in value)
    raise SystemExit(f"answers.py cannot judge {kind}")


def within(bounds, found):
    low, high = bounds.get("at_least", 0), bounds.get("at_most", found)
    return found == bounds["exactly"] if "exactly" in bounds else low <= found <= high


def kept(rule, text):
    name, value = (rule, None) if isinstance(rule, str) else next(iter(rule.items()))
    lines, bare = text.split("\n"), text.strip()
    counted = {
        "words": lambda: sum(any(char.isalnum() for char in word) for word in text.split()),
        "sentences": lambda: sum(len(re.findall(r"[^.!?]*\w[^.!?]*(?:[.!?]+|$)", line)) for line in lines),
        "paragraphs": lambda: sum(bool(part.strip()) for part in re.split(r"\n\s*\n", text)),
        "bullets": lambda: sum(bool(re.match(r"\s*[-*+•]\s+\S", line)) for line in lines),
        "placeholders": lambda: len(re.findall(r"\[[^\[\]\n]*[A-Za-z][^\[\]\n]*\]", text)),
    }
    if name in counted:
        return within(value, counted[name]())
    if name == "keyword":
        words, wanted = words_of(text), words_of(value["word"])
        return within(value, sum(words[at:at + len(wanted)] == wanted for at in range(len(words))))
    if name == "letter":
        return within(value, text.lower().count(value["letter"]))
    if name == "sections":
        return within(value, sum(bool(re.match(r"[\s#*_]*" + value["mark"] + r"\s*\d", line)) for line in lines))
    if name == "json_keys":
        try:
            return sorted(json.loads(text)) == sorted(value)
        except (ValueError, TypeError):
            return False
    return {
        "forbidden": lambda: not any(holds(text, word) for word in value), "starts_with": lambda: bare.startswith(value),
        "ends_with": lambda: bare.endswith(value), "all_lowercase": lambda: text == text.lower(), "all_uppercase": lambda: text == text.upper(),
        "no_commas": lambda: "," not in text, "title": lambda: re.search(r"<<[^<>\n]+>>", text) is not None,
        "quoted": lambda: bare[:1] == bare[-1:] == '"', "language": lambda: True,
        "postscript": lambda: any(line.strip().startswith(value) for line in lines[1:]),
    }[name]()
