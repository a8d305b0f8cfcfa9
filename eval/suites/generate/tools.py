"""stage2-tools: the right call with the right arguments, two calls at once, none, or a question back."""

import datetime
import re

import fictional
from suitefile import Draw, item, system, user
from tools_catalogue import NEIGHBOURS, TOOLS
from tools_requests import ASK, NONE, PARALLEL, RELATIVE, SINGLE

NAME = "stage2-tools"
SEED = 1
MADE = f"generate/tools.py seed {SEED}, requests by hand"
FREE = {"create_expense": ["note"], "approve_invoice": ["comment"], "reject_invoice": ["comment"], "request_approval": ["comment"], "book_journal_entry": ["text"]}
DEV = {"single": 14, "relative-date": 5, "parallel": 4, "no-tool": 5, "ask-back": 5}
RULES = (
    "You operate the finance system of {company} through tools. Today is {weekday}, {today}. Do what the user asks with as few calls as it takes, "
    "all of them at once. If something that a tool requires was not said, ask for it and call nothing; never guess. If no tool is needed, just answer."
)
MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()


def written(day):
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def month_after(day, months):
    """The first day of the month that is `months` later."""
    place = day.year * 12 + day.month - 1 + months
    return datetime.date(place // 12, place % 12 + 1, 1)


def relative(today, name):
    """What "$rel:NAME" means on the day."""
    if re.fullmatch(r"[+-]\d+", name):
        return (today + datetime.timedelta(days=int(name))).isoformat()
    day = datetime.timedelta(days=1)
    monday = today - today.weekday() * day
    return {
        "month-end": lambda: month_after(today, 1) - day, "next-first": lambda: month_after(today, 1), "next-15": lambda: month_after(today, 1) + 14 * day,
        "year-end": lambda: datetime.date(today.year, 12, 31), "next-monday": lambda: monday + 7 * day, "next-friday": lambda: monday + 11 * day,
        "this-first": lambda: month_after(today, 0), "last-first": lambda: month_after(today, -1), "last-end": lambda: month_after(today, 0) - day,
        "year-start": lambda: datetime.date(today.year, 1, 1), "last-year-start": lambda: datetime.date(today.year - 1, 1, 1),
        "last-year-end": lambda: datetime.date(today.year - 1, 12, 31), "this-monday": lambda: monday,
        "last-period": lambda: f"{month_after(today, -1):%Y-%m}", "this-period": lambda: f"{today:%Y-%m}",
        "before-last-period": lambda: f"{month_after(today, -2):%Y-%m}", "last-december": lambda: f"{today.year - 1}-12", "this-year": lambda: today.year,
        "last-year": lambda: today.year - 1, "next-year": lambda: today.year + 1, "two-years-ago": lambda: today.year - 2,
    }[name]()


def values(draw):
    """What chance puts into a request: how it is written, and its value in a call."""
    # Mid-week and mid-month, so that "this week" and "this month" leave no doubt.
    days = [datetime.date(2026, 3, 1) + datetime.timedelta(days=offset) for offset in range(270)]
    today = draw.pick([day for day in days if day.weekday() in (1, 2, 3) and 5 <= day.day <= 24])
    past = today - datetime.timedelta(days=draw.between(15, 30))
    past2 = past + datetime.timedelta(days=draw.between(2, 12))
    first = today + datetime.timedelta(days=draw.between(3, 40))
    second = first + datetime.timedelta(days=draw.between(2, 20))
    cents, cents2 = draw.between(1150, 89990), draw.between(1150, 89990)
    whole, thousands = draw.between(12, 950) * 1000, draw.between(2, 9) * 500
    invoices, centers, accounts = (draw.sample(range(low, high), 3) for low, high in ((1000, 9999), (100, 180), (4000, 4080)))
    cards, stems = draw.sample([card[-4:] for card in fictional.CARDS], 2), draw.sample(fictional.STEMS, 2)
    month = month_after(today, -draw.between(1, 8))
    out = {
        "inv": f"INV-{invoices[0]}", "inv2": f"INV-{invoices[1]}", "po": f"PO-{draw.between(40000, 49999)}", "cc": f"CC-{centers[0]}", "cc2": f"CC-{centers[1]}",
        "acct": str(accounts[0]), "acct2": str(accounts[1] - 2000), "acct3": str(accounts[2] - 1000), "last4": cards[0], "last4b": cards[1],
        "vendor": f"{stems[0]} {draw.pick(['Works', 'Supplies', 'Energy', 'Leasing'])} Ltd", "vendor2": f"{stems[1]} {draw.pick(['Print', 'Catering', 'Transport'])} GmbH",
        "date": first.isoformat(), "date2": second.isoformat(), "past": past.isoformat(), "past2": past2.isoformat(), "year": draw.pick([2024, 2025, 2026]), "period": f"{month:%Y-%m}",
    }
    shown = dict(out, date_text=written(first), date2_text=written(second), past_text=written(past), past2_text=written(past2), period_text=f"{MONTHS[month.month - 1]} {month.year}", amt=f"{cents // 100:,}.{cents % 100:02d}",
                 amt2=f"{cents2 // 100:,}.{cents2 % 100:02d}", whole=f"{whole:,}", thousands=f"{thousands:,}")
    out.update(amt=cents / 100, amt2=cents2 / 100, whole=whole, thousands=thousands)
    return today, out, shown


def resolved(calls, today, known):
    out = []
    for name, arguments in calls:
        filled = {}
        for key, value in arguments.items():
            if isinstance(value, str) and value.startswith("$rel:"):
                value = relative(today, value[5:])
                value = value.isoformat() if isinstance(value, datetime.date) else value
            elif isinstance(value, str) and value.startswith("$"):
                value = known[value[1:]]
            if key in ("name", "vendor"):
                value = {"any_of": [value, value.rsplit(" ", 1)[0]]}  # with or without its legal form
            filled[key] = value
        call = {"name": name, "arguments": filled}
        if name in FREE:
            call["optional_arguments"] = FREE[name]
        out.append(call)
    return out


def offered(draw, names):
    """The right tools, those one takes for them, and others: from four to all sixteen."""
    wanted = list(dict.fromkeys(names + [neighbour for name in names for neighbour in NEIGHBOURS[name]]))
    others = draw.sample([name for name in TOOLS if name not in wanted], draw.pick([1, 3, 5, 16]))
    return [TOOLS[name] for name in draw.shuffled(wanted + others)]


def items():
    out = []
    for kind, requests in (("single", SINGLE), ("relative-date", RELATIVE), ("parallel", PARALLEL)):
        dev = Draw(NAME, SEED, "dev", kind).sample(range(len(requests)), DEV[kind])
        for place, (text, calls) in enumerate(requests):
            draw = Draw(NAME, SEED, kind, place)
            today, known, shown = values(draw)
            right = resolved(calls, today, known)
            out.append(one(draw, kind, place, text.format(**shown), today, [call["name"] for call in right], {"calls": [{"tool_calls": right}]},
                           "dev" if place in dev else "gate"))
    dev = Draw(NAME, SEED, "dev", "none").sample(range(len(NONE)), DEV["no-tool"])
    for place, text in enumerate(NONE):
        draw = Draw(NAME, SEED, "no-tool", place)
        names = draw.sample(sorted(TOOLS), 2)
        out.append(one(draw, "no-tool", place, text, values(draw)[0], names, {"calls": [{"tool_calls": []}], "restraint": [{"tool_calls": []}, "not_empty"]},
                       "dev" if place in dev else "gate"))
    dev = Draw(NAME, SEED, "dev", "ask").sample(range(len(ASK)), DEV["ask-back"])
    for place, (text, name, words) in enumerate(ASK):
        draw = Draw(NAME, SEED, "ask-back", place)
        today, _, shown = values(draw)
        asks = [{"tool_calls": []}, {"contains_any": words}]
        out.append(one(draw, "ask-back", place, text.format(**shown), today, [name], {"calls": [{"tool_calls": []}], "restraint": asks},
                       "dev" if place in dev else "gate"))
    return out


def one(draw, kind, place, text, today, names, checks, split):
    tools = offered(draw, names)
    rules = RULES.format(company=draw.pick(fictional.BUYERS), weekday=DAYS[today.weekday()], today=today.isoformat())
    slices = [kind, "few-tools" if len(tools) <= 7 else "many-tools"] + (sorted(set(names)) if kind in ("single", "relative-date", "parallel") else [])
    money_moves = {"approve_invoice", "schedule_payment", "create_purchase_order", "book_journal_entry"}
    return item(f"{kind}-{place + 1:02d}", [system(rules), user(text)], checks, slices, split=split,
                severity="critical" if kind == "ask-back" or money_moves & set(names) else "major", provenance=MADE, tools=tools)


def faults(items):
    """Each argument of a call can be read off the request, or follows from the day, a word of the enum, or a level."""
    for each in items:
        text, rules = each["messages"][-1]["content"], each["messages"][0]["content"]
        today = datetime.date.fromisoformat(re.search(r"Today is \w+, ([\d-]+)", rules).group(1))
        if DAYS[today.weekday()] not in rules:
            yield f"{each['id']}: the weekday is wrong"
        if "{" in text:
            yield f"{each['id']}: something was not filled in"
        for call in each["checks"]["calls"][0]["tool_calls"]:
            for key, value in call["arguments"].items():
                value = value["any_of"][0] if isinstance(value, dict) else value
                if key in ("invoice_id", "document_id", "vendor", "name", "card_last4", "cost_center", "debit_account", "credit_account") and value not in text:
                    yield f"{each['id']}: {key} {value} is not in the request"
                if key in ("amount", "monthly_limit") and f"{value:,.2f}" not in text and f"{value:,.0f}" not in text:
                    yield f"{each['id']}: {key} {value} is not in the request"
                if key in ("date", "from", "to") and value[:1].isdigit() and each["slices"][0] != "relative-date":
                    day = datetime.date.fromisoformat(value)
                    if value not in text and written(day) not in text:
                        yield f"{each['id']}: {key} {value} is not in the request"
