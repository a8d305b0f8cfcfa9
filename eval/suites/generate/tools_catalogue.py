"""The tools that stage2-tools offers: a small finance system, as a company would describe it to a model."""

from suitefile import function

TEXT, NUMBER = {"type": "string"}, {"type": "number"}
DATE = {"type": "string", "description": "YYYY-MM-DD"}
CURRENCY = {"type": "string", "enum": ["EUR", "USD", "GBP", "CHF", "SEK", "JPY"]}
INVOICE = {"type": "string", "description": "such as INV-1234"}
LAST4 = {"type": "string", "description": "the last four digits"}
COST_CENTER = {"type": "string", "description": "such as CC-310"}
NOTE = {"type": "string", "description": "optional"}


def chosen(*options):
    return {"type": "string", "enum": list(options)}


TOOLS = {tool["function"]["name"]: tool for tool in [
    function("create_expense", "Records an outlay of an employee for refund.",
             {"amount": NUMBER, "currency": CURRENCY, "category": chosen("travel", "lodging", "meals", "software", "office", "training"), "date": DATE, "note": NOTE},
             ["amount", "currency", "category", "date"]),
    function("approve_invoice", "Approves a supplier's invoice for payment.", {"invoice_id": INVOICE, "comment": NOTE}, ["invoice_id"]),
    function("reject_invoice", "Rejects a supplier's invoice.",
             {"invoice_id": INVOICE, "reason": chosen("duplicate", "wrong_amount", "not_ordered", "missing_po"), "comment": NOTE}, ["invoice_id", "reason"]),
    function("get_invoice_status", "Says where an invoice stands.", {"invoice_id": INVOICE}),
    function("lookup_vendor", "Finds a supplier's record by its name.", {"name": TEXT}),
    function("convert_currency", "Converts an amount at today's rate.", {"amount": NUMBER, "from": CURRENCY, "to": CURRENCY}),
    function("schedule_payment", "Sets the day on which an approved invoice is paid.", {"invoice_id": INVOICE, "date": DATE}),
    function("send_reminder", "Sends a customer a reminder for one of our invoices.",
             {"invoice_id": INVOICE, "level": {"type": "integer", "enum": [1, 2, 3], "description": "1 friendly, 2 firm, 3 last before collection"}}),
    function("create_purchase_order", "Orders from a supplier.", {"vendor": TEXT, "amount": NUMBER, "currency": CURRENCY, "cost_center": COST_CENTER}),
    function("get_budget", "Shows a cost center's budget and what is left of it.", {"cost_center": COST_CENTER, "year": {"type": "integer"}}),
    function("block_card", "Blocks a company card for good.", {"card_last4": LAST4, "reason": chosen("lost", "stolen", "damaged")}),
    function("set_card_limit", "Sets the monthly limit of a company card.", {"card_last4": LAST4, "monthly_limit": NUMBER}),
    function("list_transactions", "Lists the bank transactions of an account, both days included.",
             {"account": chosen("operating", "payroll", "tax", "savings"), "from": DATE, "to": DATE}),
    function("book_journal_entry", "Books an amount from one ledger account to another.",
             {"debit_account": {"type": "string", "description": "four digits"}, "credit_account": {"type": "string", "description": "four digits"}, "amount": NUMBER, "text": NOTE},
             ["debit_account", "credit_account", "amount"]),
    function("request_approval", "Asks somebody else to approve a document.",
             {"document_id": TEXT, "approver": chosen("manager", "controller", "cfo", "board"), "comment": NOTE}, ["document_id", "approver"]),
    function("export_report", "Makes a report as a file.",
             {"report": chosen("balance_sheet", "profit_and_loss", "open_items", "cash_flow"), "format": chosen("pdf", "xlsx", "csv"), "period": {"type": "string", "description": "YYYY-MM"}}),
]}

# Always offered together, because they are what one confuses.
NEIGHBOURS = {
    "approve_invoice": ["reject_invoice", "request_approval", "get_invoice_status"], "reject_invoice": ["approve_invoice", "get_invoice_status"],
    "get_invoice_status": ["schedule_payment", "send_reminder"], "lookup_vendor": ["create_purchase_order"], "convert_currency": ["create_expense"],
    "schedule_payment": ["approve_invoice", "get_invoice_status"], "send_reminder": ["get_invoice_status", "schedule_payment"],
    "create_purchase_order": ["lookup_vendor", "create_expense"], "get_budget": ["export_report"], "block_card": ["set_card_limit"],
    "set_card_limit": ["block_card"], "list_transactions": ["export_report"], "book_journal_entry": ["list_transactions"],
    "request_approval": ["approve_invoice"], "export_report": ["list_transactions", "get_budget"], "create_expense": ["create_purchase_order"],
}
