"""stage2-classification: expense lines and tickets to closed labels. Every text is by hand, in classification.hand.jsonl."""

from collections import defaultdict

from suitefile import Draw, hand, item, system, user

NAME = "stage2-classification"
SEED = 1

LABELS = {
    "expense": {
        "flights": "everything an airline charges: tickets, changes, luggage, seats",
        "ground-transport": "trains, buses, ferries, taxis, rental cars, fuel and charging, parking, tolls",
        "lodging": "hotels and other places to sleep, with all charges for the room",
        "client-meals": "food and drink where somebody from outside the company took part",
        "staff-meals": "food and drink for employees only, alone or together",
        "office-supplies": "things that are used up in an office: paper, toner, stationery, postage, kitchen and first-aid supplies",
        "hardware": "devices and their accessories",
        "software": "licences, subscriptions, hosting, domains, paid apps and APIs",
        "training": "what our people learn from: courses, coaching, exams, textbooks, learning portals, tickets to conferences they attend as listeners",
        "marketing": "advertising, give-aways, sponsoring, exhibiting at fairs, and those who make or print the advertisements",
        "professional-services": "lawyers, auditors, tax advisers, consultants, translators, agencies, and work that is outsourced to such",
        "bank-fees": "what banks, card issuers and payment services charge",
    },
    "ticket": {
        "invoice-status": "a supplier, or someone for it, asks whether an invoice has arrived, is approved, or when it will be paid",
        "payment-problem": "a payment was made, but wrongly: twice, the wrong amount, the wrong payee, returned, not assignable",
        "vendor-onboarding": "supplier records: create, change, merge or block them",
        "expense-claim": "an employee's own outlays and their refund",
        "card-issue": "company cards: ordering, limits, PIN, declined, lost, cancelled",
        "purchase-approval": "requisitions and purchase orders before anything is bought",
        "tax-and-vat": "tax rates, returns, certificates, tax numbers, customs",
        "access-request": "logins, passwords, roles and permissions in systems",
        "suspected-fraud": "anything that points to deceit, theft, bribery or stolen credentials; this goes before every other queue",
    },
}
TASKS = {
    "expense": "You book the expenses of a company. Assign the line to exactly one category:",
    "ticket": "You sort the mail of a finance shared service centre. Assign the message to exactly one queue:",
}
DEV = {"expense": 2, "ticket": 1}


def items():
    by_label = defaultdict(list)
    for seed in hand("classification"):
        by_label[seed["task"], seed["label"]].append(seed)
    out = []
    for (task, label), seeds in by_label.items():
        # Drawn, so that development texts are no easier or harder than the gate's.
        dev = Draw(NAME, SEED, task, label).sample(range(len(seeds)), DEV[task])
        for place, seed in enumerate(seeds):
            out.append(one(task, label, place, seed, "dev" if place in dev else "gate"))
    return out


def one(task, label, place, seed, split):
    labels = LABELS[task]
    rules = "\n".join(f"- {name}: {about}" for name, about in labels.items())
    only = "(?i)^[\\s\"'`*]*(?:" + "|".join(labels) + ")[\\s\"'`*.]*$"
    return item(
        f"{task}-{label}-{place + 1:02d}",
        [system(f"{TASKS[task]}\n{rules}\nAnswer with the name of the {'category' if task == 'expense' else 'queue'} alone."), user(seed["text"])],
        {"form": [{"regex": only}], "right": [{"choice": {"options": list(labels), "answer": label}}]},
        [task, label] + ([seed["form"]] if seed["form"] != "text" else []),
        split=split, severity="critical" if label == "suspected-fraud" else "minor" if task == "expense" else "major",
        provenance="by hand, 2026-11",
    )


def faults(items):
    """The labels are balanced, and none stands in its own text."""
    counts = defaultdict(int)
    for each in items:
        label = each["slices"][1]
        counts[each["split"], each["slices"][0], label] += 1
        if label.replace("-", " ") in each["messages"][-1]["content"].lower():
            yield f"{each['id']}: the text says the label"
    for split, task in {(split, task) for split, task, _ in counts}:
        sizes = {label: counts[split, task, label] for label in LABELS[task]}
        if len(set(sizes.values())) != 1:
            yield f"the {split} labels of {task} are not balanced: {sizes}"
