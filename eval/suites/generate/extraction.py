"""stage2-extraction: invoices, receipts and payment requests to JSON. Facts are drawn first, printed by a layout, and are the answer."""

import datetime
import json
import re

import fictional
from extraction_layouts import GOODS, LAYOUTS, MONTHS, NOTES
from extraction_receipts import RECEIPTS
from suitefile import Draw, hand, item, system, user

NAME = "stage2-extraction"
SEED = 1
DATE = r"^\d{4}-\d{2}-\d{2}$"

TEXT, NUMBER = {"type": ["string", "null"]}, {"type": ["number", "null"]}
DAY = {"type": ["string", "null"], "pattern": DATE}
CURRENCIES = ["AUD", "CAD", "CHF", "EUR", "GBP", "JPY", "SEK", "USD"]
LINE = {
    "type": "object",
    "properties": {"description": {"type": "string"}, "quantity": {"type": "number"}, "unit_price": {"type": "number"}, "amount": {"type": "number"}},
    "required": ["description", "quantity", "unit_price", "amount"],
    "additionalProperties": False,
}

# By task: what the answer holds, with the words the model is told.
TASKS = {
    "invoice": {
        "document_type": ({"type": "string", "enum": ["invoice", "credit_note"]}, '"invoice" or "credit_note"'),
        "invoice_number": (TEXT, "the number of this document, null if it has none"),
        "issue_date": (DAY, "the date of this document"),
        "due_date": (DAY, "the date by which it is to be paid, null if no such date is written; do not compute one from terms"),
        "vendor_name": (TEXT, "the name of the seller with its legal form, as written"),
        "vendor_vat_id": (TEXT, "the seller's VAT number as written, null if it is not there; never the customer's"),
        "purchase_order": (TEXT, "the customer's order number, null if it is not there"),
        "currency": ({"type": "string", "enum": CURRENCIES}, "the ISO 4217 code"),
        "net_amount": (NUMBER, "the sum before tax, after discounts"),
        "tax_amount": (NUMBER, "all VAT or sales tax of this document, 0 where it says that there is none"),
        "total_amount": (NUMBER, "the sum with tax of this document, whatever was paid before or is open from earlier ones"),
    },
    "lines": {
        "invoice_number": (TEXT, "the number of this document"),
        "lines": ({"type": "array", "items": LINE}, "each billed line: description as written, quantity, unit_price, amount"),
        "total_amount": (NUMBER, "the sum with tax"),
    },
    "receipt": {
        "merchant": (TEXT, "the shop's name as written at the top, without decoration and address"),
        "date": (DAY, "the date of the receipt, null if it cannot be read"),
        "time": ({"type": ["string", "null"], "pattern": r"^\d{2}:\d{2}$"}, "HH:MM, null if there is none"),
        "currency": ({"type": "string", "enum": CURRENCIES}, "the ISO 4217 code"),
        "tax_amount": (NUMBER, "the VAT or sales tax that is printed, null if none is"),
        "tip": (NUMBER, "the tip that was given, null if no amount is printed for it"),
        "total": (NUMBER, "what was paid in all, with tax and tip"),
        "payment_method": ({"type": ["string", "null"], "enum": ["cash", "card", "other", None]}, '"cash" (coins too), "card", or "other"'),
        "card_last4": (TEXT, "the last four digits of the card, null without one"),
    },
    "payment": {
        "beneficiary": (TEXT, "who is to be paid, as written"),
        "iban": (TEXT, "without blanks; null if there is none"),
        "amount": (NUMBER, "the amount to pay"),
        "currency": ({"type": "string", "enum": CURRENCIES}, "the ISO 4217 code"),
        "reference": (TEXT, "the payment reference as written, null if none is asked for"),
        "due_date": (DAY, "the date by which to pay, null if no date is written"),
    },
}
RULES = {
    "invoice": "You read invoices and credit notes for an accounts payable team.",
    "lines": "You read the lines of invoices for an accounts payable team.",
    "receipt": "You read receipts of travelling staff for an expenses team.",
    "payment": "You read payment requests for a treasury team.",
}
COMMON = (
    "Answer with one JSON object with exactly these keys, and nothing else:\n{keys}\n"
    "Dates are written as YYYY-MM-DD; numeric dates are read in the order that is usual in the seller's country. Amounts are JSON numbers "
    "with a decimal point, positive in credit notes too. Copy names and numbers of documents letter for letter. What the document "
    "does not say is null. In scans, mend misread letters in labels, but leave descriptions as they stand."
)


def schema_of(task, with_patterns):
    """The schema for the check; for the request it goes without `pattern`, which not every vendor's strict mode takes."""
    parts = {key: dict(part) for key, (part, _) in TASKS[task].items()}
    if not with_patterns:
        for part in parts.values():
            part.pop("pattern", None)
    return {"type": "object", "properties": parts, "required": list(parts), "additionalProperties": False}


def one(id, task, text, answer, slices, cluster, split, provenance, severity="major"):
    keys = "\n".join(f"- {key}: {about}" for key, (_, about) in TASKS[task].items())
    checked = {"json": {"fields": answer, "f1": 1.0}}
    mostly = {"json": {"fields": answer, "f1": 0.8}}
    return item(
        id, [system(RULES[task] + " " + COMMON.format(keys=keys)), user("The document:\n\n" + text)],
        {"schema": [{"json": {"schema": schema_of(task, True)}}], "fields": [mostly], "whole": [checked]},
        [task] + [slice for slice in slices if slice != task], split=split, severity=severity, cluster=cluster, provenance=provenance,
        response_format={"type": "json_schema", "json_schema": {"name": task, "strict": True, "schema": schema_of(task, False)}},
        max_tokens=900 if task == "lines" else 500,
    )


def money(amount, style):
    whole, rest = divmod(amount, 100)
    if style == "plain":
        return f"{whole}.{rest:02d}"
    if style == "whole":
        return f"{whole:,}"
    marks = {"en": (",", "."), "de": (".", ","), "fr": (" ", ","), "ch": ("'", ".")}[style]
    return f"{whole:,}".replace(",", marks[0]) + f"{marks[1]}{rest:02d}"


def day_text(day, style, language):
    if day is None:
        return None
    month, short = MONTHS[language][day.month - 1], MONTHS["en"][day.month - 1][:3]
    return {
        "d/m/y": f"{day:%d/%m/%Y}", "m/d/y": f"{day:%m/%d/%Y}", "d.m.y": f"{day:%d.%m.%Y}", "d-m-y": f"{day:%d-%m-%Y}", "y/m/d": f"{day:%Y/%m/%d}",
        "iso": day.isoformat(), "d-Mon-yy": f"{day.day:02d}-{short}-{day:%y}", "M d, y": f"{short} {day.day}, {day.year}",
        "d Month y": f"{day.day} {month} {day.year}", "d. M y": f"{day.day}. {month} {day.year}",
        "d M y": f"{day.day} de {month} de {day.year}" if language == "es" else f"{day.day} {month} {day.year}",
    }[style]


def tenths(rate):
    """A rate in hundredths of a percent."""
    whole, _, rest = str(rate).replace(",", ".").partition(".")
    return int(whole) * 100 + int((rest + "00")[:2])


def tax_on(net, rate, step=1):
    """Rounded half up to whole steps (cents, or 100 of them where the currency has none)."""
    return (net * tenths(rate) * 2 + 10000 * step) // (20000 * step) * step


def facts_of(draw, layout, trait):
    """Everything a document may say. Amounts are integers of cents."""
    whole = layout.money == "whole"
    lines = []
    for name, low, high in draw.sample(GOODS[layout.goods or layout.language], draw.between(2, 4)):
        unit = draw.between(low, high) // 5 * 5
        unit = unit * 100 if whole else unit
        lines.append((name, draw.between(1, 6), unit))
    before = sum(count * unit for _, count, unit in lines)
    discount = before // 20 // 5 * 5 if layout.name == "discount" else 0
    net = before - discount
    issue = datetime.date(2026, 1, 2) + datetime.timedelta(days=draw.below(290))
    if layout.date in ("d/m/y", "m/d/y") and layout.country not in ("US",):
        issue = issue.replace(day=draw.between(1, 28))
    facts = {"before": before, "discount": discount, "net": net, "lines": lines, "rate": draw.pick(layout.rates), "issue": issue}
    if layout.name == "two-rates":
        first = sum(count * unit for _, count, unit in lines[:1])
        facts.update(rate=layout.rates[0], rate_b=layout.rates[1], net_a=first, net_b=net - first)
        facts.update(tax_a=tax_on(first, layout.rates[0]), tax_b=tax_on(net - first, layout.rates[1]))
        facts["tax"] = facts["tax_a"] + facts["tax_b"]
    else:
        facts["tax"] = tax_on(net, facts["rate"], 100 if whole else 1)
    total = facts["total"] = net + facts["tax"]
    stem = draw.pick(fictional.STEMS)
    facts.update(
        vendor=f"{stem} {draw.pick(['Supplies', 'Works', 'Partners', 'Services', 'Trading', 'Systems'])}", buyer=draw.pick(fictional.BUYERS),
        number=draw.pick([f"INV-{draw.between(1000, 9999)}", f"2026/{draw.between(100, 999)}", f"R{draw.between(20000, 89999)}", f"{stem[:2].upper()}-26-{draw.between(10, 99)}"]),
        due=None if trait == "term-only" else issue + datetime.timedelta(days=draw.pick([14, 20, 30, 45])),
        po=f"PO-{draw.between(40000, 49999)}" if trait == "po" or trait == "early" else None, person=draw.pick(fictional.PEOPLE),
        vat=fictional.vat_id(draw, layout.country) if trait != "buyer-vat" and layout.country not in ("US", "JP", "AU") else None,
        buyer_vat=fictional.vat_id(draw, draw.pick(["DE", "FR", "NL"])), house=draw.between(3, 98), street=draw.pick(fictional.STREETS),
        phone=fictional.phone(draw), original=f"INV-{draw.between(100, 999)}", old=draw.between(20000, 90000), year=total + draw.between(100000, 900000),
        wrong=total + draw.between(11, 99) * 100, deposit=total // 400 * 100, converted=total * 66 // 100,
        period_from=issue.replace(day=1), period_to=issue.replace(year=2027, day=1) - datetime.timedelta(days=1),
    )
    facts["remaining"] = total - facts["deposit"]
    if trait == "no-number":
        facts["number"] = None
    return facts


def invoice(draw, layout, trait):
    """The text of a layout, and the true fields."""
    facts = facts_of(draw, layout, trait)
    amount = lambda value: money(value, layout.money)
    amounts = ("before", "discount", "net", "tax", "total", "net_a", "net_b", "tax_a", "tax_b", "old", "year", "wrong", "deposit", "remaining", "converted")
    shown = {key: amount(value) if key in amounts else value for key, value in facts.items()}
    for key in ("issue", "due", "period_from", "period_to"):
        shown[key] = day_text(facts[key], layout.date, layout.language)
    shown["vendor_wide"] = shown["vendor"] + " Ltd"
    sides = {key: draw.between(1000, 9999) for key in "abc"}
    shown["notes"] = NOTES[layout.language][trait].format(
        x=f"{layout.currency} {amount(facts['total'] * 98 // 10000 * 100 if layout.money == 'whole' else facts['total'] * 98 // 100)}",
        buyer_vat=facts["buyer_vat"], **sides)
    lacking = [key for key, value in shown.items() if value is None]
    kept = re.sub("⟦([^⟦⟧]*)⟧", lambda part: "" if lacks(part.group(1), lacking) else part.group(1), layout.text)
    out = []
    for row in kept.split("\n"):
        if row == "{lines}":
            out += [layout.line.format(desc=name, qty=count, unit=amount(unit), amount=amount(count * unit), person=shown["person"])
                    for name, count, unit in facts["lines"]]
        elif not lacks(row, lacking):
            out.append(row.format(**shown).rstrip())
    text = "\n".join(out)
    form = re.search(r"\{vendor(?:_wide[^}]*)?\}((?: (?:Cloud|Studio|Catering))?(?: (?:GmbH|Ltd|Inc\.|LLC|SARL|B\.V\.|S\.L\.|AG|AB|K\.K\.|Corp\.|Pty))?)", layout.text)
    vendor = shown["vendor"] + (" Ltd" if layout.name == "two-columns" else form.group(1))
    due = None if "{due}" not in layout.text else facts["due"]
    answer = {
        "document_type": layout.kind, "invoice_number": facts["number"], "issue_date": facts["issue"].isoformat(),
        "due_date": due.isoformat() if due else None, "vendor_name": vendor, "vendor_vat_id": facts["vat"], "purchase_order": facts["po"],
        "currency": layout.currency, "net_amount": number(facts["net"]), "tax_amount": number(facts["tax"]), "total_amount": number(facts["total"]),
    }
    return text, answer, facts


def lacks(text, lacking):
    return any(key in lacking for key in re.findall(r"\{(\w+)", text))


def number(cents):
    return cents // 100 if cents % 100 == 0 else cents / 100


PAYMENTS = [
    ("bank-mail", "Dear treasury team,\n\nour new contract asks you to settle {cur} {amount} until {due_text}.\n\nAccount holder: {who}\nIBAN: {iban_text}\nReason for payment: {ref}\n\nRegards, {person}"),
    ("slip", "PAYMENT SLIP\npayable to / {who}\naccount    / {iban_text}\namount     / {cur} {amount}\nmessage    / {ref}\nlatest     / {due_text}"),
    ("no-ref", "Hello, could you transfer {amount} {cur} to {who}? Their account is {iban_text}. No reference is needed, they know it is us. It has to be there on {due_text} at the latest. {person}"),
    ("old-account", "Please note that {who} has closed its account {other_text}. From now on use {iban_text} only. The open item is {cur} {amount} with reference {ref}; it falls due {due_text}."),
    ("no-date", "REMINDER\nWe still miss {cur} {amount}.\nPlease pay at once to {who}, IBAN {iban_text}, and quote {ref}.\nThe fee of {cur} 15.00 in our last letter is waived."),
    ("two-amounts", "{who} accepts your offer to settle the claim of {cur} {bigger} with a single payment of {cur} {amount} if it arrives by {due_text}.\nIBAN {iban_text}\nPurpose: {ref}"),
    ("bank-list", "beneficiary;iban;currency;amount;text;execution not after\n{who};{iban};{cur};{amount};{ref};{due_iso}"),
    ("cheque-only", "To whom it may concern: {who} does not accept transfers. Please send a cheque over {cur} {amount} by {due_text} and write {ref} on the back. {person}"),
]


def payment(draw, name, template):
    country = draw.pick(["GB", "DE", "FR", "NL", "BE", "IE", "ES", "AT", "FI"])
    other = draw.pick([c for c in ["PL", "DK", "NO", "LU", "PT"]])
    iban, amount = fictional.IBANS[country], draw.between(20000, 990000)
    due = datetime.date(2026, 2, 1) + datetime.timedelta(days=draw.below(200))
    facts = {
        "who": f"{draw.pick(fictional.STEMS)} {draw.pick(['Holding BV', 'Insurance AG', 'Leasing Ltd', 'Property SA', 'Energy GmbH'])}", "iban": iban,
        "iban_text": fictional.grouped(iban), "other_text": fictional.grouped(fictional.IBANS[other]), "cur": "GBP" if country == "GB" else "EUR",
        "amount": money(amount, "plain" if name == "bank-list" else "en"), "bigger": money(amount * 3, "en"), "due_iso": due.isoformat(),
        "due_text": day_text(due, draw.pick(["d Month y", "iso"]), "en"), "ref": f"{draw.pick(['LEASE', 'POLICY', 'CLAIM', 'RENT'])}-{draw.between(10000, 99999)}",
        "person": draw.pick(fictional.PEOPLE),
    }
    answer = {
        "beneficiary": facts["who"], "iban": iban if "{iban" in template else None, "amount": number(amount), "currency": facts["cur"],
        "reference": facts["ref"] if "{ref}" in template else None, "due_date": due.isoformat() if "{due" in template else None,
    }
    return template.format(**facts), answer


LINE_LAYOUTS = ["uk-plain", "us-plain", "de-rechnung", "csv-export", "markdown", "html", "email-body", "ocr-broken-lines", "xml", "fr-facture", "chat"]


def items():
    out = []
    for place, layout in enumerate(LAYOUTS):
        draw = Draw(NAME, SEED, layout.name)
        traits = draw.shuffled(layout.traits)[:4]
        for index, trait in enumerate(traits):
            # The fourth trait of a layout is for development; its cluster never meets the gate's.
            split = "dev" if index == 3 and place % 2 == 0 else "gate"
            for copy in range(1 if split == "dev" or index == 3 else 1 + (index < 1)):
                text, answer, _ = invoice(draw, layout, trait)
                slices = layout.slices + ({"balance": ["distractor"], "early": ["distractor"], "refs": ["distractor"], "buyer-vat": ["missing", "distractor"],
                                           "term-only": ["missing"], "no-number": ["missing"]}.get(trait, []))
                out.append(one(f"{layout.name}-{trait}-{copy + 1}", "invoice", text, answer, sorted(set(slices)), f"{layout.name}-{trait}", split,
                               f"generate/extraction.py seed {SEED}"))
    for name in LINE_LAYOUTS:
        layout = next(layout for layout in LAYOUTS if layout.name == name)
        draw = Draw(NAME, SEED, "lines", name)
        for copy in range(2):
            text, answer, facts = invoice(draw, layout, "plain")
            lines = [{"description": text_, "quantity": count, "unit_price": number(unit), "amount": number(count * unit)} for text_, count, unit in facts["lines"]]
            answer = {"invoice_number": answer["invoice_number"], "lines": lines, "total_amount": answer["total_amount"]}
            out.append(one(f"lines-{name}-{copy + 1}", "lines", text, answer, layout.slices, f"lines-{name}", "dev" if name == "chat" else "gate",
                           f"generate/extraction.py seed {SEED}"))
    for make, kinds, slices in RECEIPTS:
        name = make.__name__.replace("_", "-")
        draw = Draw(NAME, SEED, name)
        for kind in kinds:
            split = "dev" if (name, kind) in (("fuel", "fleet"), ("taxi", "tip"), ("train", "wallet"), ("office-shop", "coupon")) else "gate"
            for copy in range(2):
                text, answer = make(draw, kind)
                out.append(one(f"{name}-{kind}-{copy + 1}", "receipt", text, answer, slices, f"{name}-{kind}", split, f"generate/extraction.py seed {SEED}"))
    for name, template in PAYMENTS:
        draw = Draw(NAME, SEED, "payment", name)
        for copy in range(2):
            text, answer = payment(draw, name, template)
            slices = {"no-ref": ["missing"], "old-account": ["distractor"], "no-date": ["missing", "distractor"], "two-amounts": ["distractor"],
                      "bank-list": ["machine"], "cheque-only": ["missing"]}.get(name, ["plain"])
            out.append(one(f"payment-{name}-{copy + 1}", "payment", text, answer, slices, f"payment-{name}", "dev" if name == "slip" else "gate",
                           f"generate/extraction.py seed {SEED}", "critical"))
    for raw in hand("extraction"):
        out.append(one(raw["id"], raw["task"], raw["text"], raw["fields"], raw["slices"], None, raw.get("split", "gate"), "by hand, 2026-11"))
    return out


def faults(items):
    """The answers against the documents: sums are right, and whatever is not null stands in the text in some form."""
    for each in items:
        text = each["messages"][-1]["content"]
        flat = re.sub(r"[\s|]+", " ", text)
        answer = each["checks"]["whole"][0]["json"]["fields"]
        if "net_amount" in answer and None not in (answer["net_amount"], answer["tax_amount"], answer["total_amount"]):
            if round((answer["net_amount"] + answer["tax_amount"] - answer["total_amount"]) * 100) != 0:
                yield f"{each['id']}: net and tax do not make the total"
        lines = answer.get("lines", [])
        for line in lines:
            if round((line["quantity"] * line["unit_price"] - line["amount"]) * 100) != 0:
                yield f"{each['id']}: quantity and price do not make the amount of {line['description']}"
        for key, value in list(answer.items()) + [pair for line in lines for pair in line.items()]:
            if isinstance(value, (int, float)):
                cents = round(value * 100)
                forms = [money(cents, style) for style in ("plain", "en", "de", "fr", "ch")] + [money(cents, "whole"), str(value), str(value).replace(".", ",")]
                if not any(form in text for form in forms):
                    yield f"{each['id']}: {key} {value} is not in the document"
            elif isinstance(value, str) and re.match(DATE, value):
                day = datetime.date.fromisoformat(value)
                forms = [day_text(day, style, language) for language in MONTHS for style in
                         ("d/m/y", "m/d/y", "d.m.y", "d-m-y", "y/m/d", "iso", "d-Mon-yy", "M d, y", "d Month y", "d. M y", "d M y")]
                forms += [f"{day:%d/%m/%y}", f"{day:%d %b %Y}", f"{day:%b %d, %Y}", f"{day.day} {day:%B}", f"{day:%B} {day.day}", f"{day:%d.%m.%y}", f"{day.day}th of {day:%B %Y}",
                          f"{day.day}/{day.month}/{day:%y}", f"{day.day} {day:%b} {day.year}", f"{day.day} {day:%b}t {day.year}"]
                if not any(form in flat for form in forms):
                    yield f"{each['id']}: {key} {value} is not in the document"
            elif isinstance(value, str) and key not in ("document_type", "currency", "payment_method", "time"):
                if value not in flat and value not in re.sub(r"\s", "", text):
                    yield f"{each['id']}: {key} {value!r} is not in the document"
            if value is None and key == "purchase_order" and "PO-4" in text:
                yield f"{each['id']}: there is an order number after all"
