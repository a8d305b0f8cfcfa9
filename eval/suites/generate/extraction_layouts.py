"""The documents of stage2-extraction as text: one Layout is one way in which a vendor writes.

A template's `{key}` is filled from the facts. Where the document lacks a key, the part between ⟦ and ⟧ around it is left out, or else
the whole line; `{lines}` stands for one line per item. Nothing here computes: extraction.py draws the facts and knows the answers.
"""

from dataclasses import dataclass, field


@dataclass
class Layout:
    name: str
    text: str
    line: str = "{desc:<36}{qty:>4}{unit:>12}{amount:>12}"
    language: str = "en"
    country: str = "GB"
    currency: str = "GBP"
    money: str = "en"
    date: str = "d/m/y"
    rates: tuple = (20,)
    kind: str = "invoice"
    slices: list = field(default_factory=list)
    goods: str = ""  # of GOODS; the language's own without it
    traits: tuple = ("plain", "refs", "balance", "term-only", "no-number", "po", "early", "buyer-vat")


L = Layout
LAYOUTS = [
    L("uk-plain", """{vendor}
{house} {street}, Leeds LS1 0XX
VAT Reg. No. {vat}

INVOICE⟦                                   No. {number}⟧
Date: {issue}
Due:  {due}
Your order: {po}

To: {buyer}, Accounts Payable

Description                          Qty       Price      Amount
{lines}
                                         Net          £{net}
                                         VAT {rate} %   £{tax}
                                         TOTAL        £{total}

{notes}""", slices=["plain"]),
    L("us-plain", """{vendor} Inc.
{house} {street}, Portland, OR 97200

Invoice #{number}
Invoice date: {issue}
Payment due: {due}
P.O. Number: {po}

Bill to: {buyer}

{lines}

Subtotal ....... ${net}
Sales tax {rate}% . ${tax}
Total USD ...... ${total}

{notes}
Questions? billing@example.com or {phone}""", line="{qty} x {desc} @ ${unit} = ${amount}", country="US", currency="USD", date="M d, y",
      rates=("8.25", "6.5", "7"), slices=["plain"], traits=("plain", "refs", "balance", "term-only", "no-number", "po", "early")),
    L("us-numeric-dates", """{vendor} LLC -- {house} {street}, Austin, TX 73301
INVOICE⟦ {number}⟧   dated {issue}   due {due}
Ship to / bill to: {buyer}
PO {po}
--------------------------------------------------------------
{lines}
--------------------------------------------------------------
TAXABLE {net}   STATE AND LOCAL TAX {tax} ({rate}%)   PLEASE PAY {total} USD
{notes}""", line="{desc} ({qty} at {unit}) {amount}", country="US", currency="USD", date="m/d/y", rates=("8.25", "6.25"),
      slices=["dates"], traits=("plain", "refs", "balance", "no-number", "po", "early")),
    L("de-rechnung", """{vendor} GmbH · {street} {house} · 10115 Berlin
USt-IdNr.: {vat}

An: {buyer}

Rechnung Nr. {number}
Rechnungsdatum: {issue}
Zahlbar bis: {due}
Ihre Bestellnummer: {po}

Pos.  Bezeichnung                         Menge   Einzelpreis      Betrag
{lines}

Nettobetrag                                              {net} EUR
zzgl. {rate} % MwSt.                                       {tax} EUR
Rechnungsbetrag                                          {total} EUR

{notes}""", language="de", country="DE", currency="EUR", money="de", date="d.m.y", rates=(19, 7), slices=["language"]),
    L("de-brief", """{vendor} GmbH
Bürodienste seit 1998⟦, USt-IdNr. {vat}⟧

Sehr geehrte Damen und Herren,

für unsere Leistungen erlauben wir uns, Ihnen ⟦unter der Rechnungsnummer {number} ⟧mit Datum vom {issue} zu berechnen:

{lines}

Zwischensumme netto {net} €, Umsatzsteuer {rate} % {tax} €, zu zahlen {total} €.
Bitte überweisen Sie den Betrag bis zum {due}.
Bestellnummer auf Ihrer Seite: {po}.

{notes}

Mit freundlichen Grüßen
{person}""", line="- {qty} x {desc}, je {unit} €, zusammen {amount} €", language="de", country="DE", currency="EUR", money="de",
      date="d. M y", rates=(19,), slices=["language", "prose"]),
    L("fr-facture", """{vendor} SARL
{house} rue des Tanneurs, 69000 Lyon⟦ — TVA intracom. {vat}⟧

FACTURE N° {number}
Date d'émission : {issue}
Échéance : {due}
Bon de commande : {po}
Client : {buyer}

{lines}

Total HT : {net} €
TVA ({rate} %) : {tax} €
Total TTC : {total} €

{notes}""", line="{desc} | qté {qty} | PU HT {unit} € | {amount} €", language="fr", country="FR", currency="EUR", money="fr", date="d M y",
      rates=(20, "5,5"), slices=["language"]),
    L("nl-factuur", """FACTUUR                                    {vendor} B.V.
⟦Factuurnummer  {number}⟧⟦                    btw-nr. {vat}⟧
Factuurdatum   {issue}
Vervaldatum    {due}
Inkooporder    {po}

Aan: {buyer}

{lines}
                         Subtotaal excl. btw   € {net}
                         Btw {rate}%               € {tax}
                         Te betalen            € {total}
{notes}""", language="nl", country="NL", currency="EUR", money="de", date="d-m-y", rates=(21, 9), slices=["language"]),
    L("es-factura", """{vendor} S.L.⟦ - NIF-IVA {vat}⟧
Factura {number}
Fecha de emisión: {issue}
Vencimiento: {due}
Pedido n.º {po}
Cliente: {buyer}

{lines}

Base imponible: {net} €
IVA {rate} %: {tax} €
Total factura: {total} €
{notes}""", line="{desc}: {qty} ud. a {unit} €, importe {amount} €", language="es", country="ES", currency="EUR", money="de", date="d M y",
      rates=(21, 10), slices=["language"]),
    L("ch-rechnung", """{vendor} AG, {street} {house}, 8001 Zürich
MWST-Nr. {vat}
RECHNUNG⟦ {number}⟧ vom {issue}⟦, fällig am {due}⟧
Bestellreferenz: {po}
{lines}
Total exkl. MWST      CHF {net}
MWST {rate}%             CHF {tax}
Total inkl. MWST      CHF {total}
{notes}""", language="de", country="CH", currency="CHF", money="ch", date="d.m.y", rates=("8.1",), slices=["language", "currency"]),
    L("se-english", """{vendor} AB⟦ | VAT {vat}⟧ | Godkänd för F-skatt
Invoice {number}
Issued {issue}⟦, payable no later than {due}⟧
Reference (PO): {po}
For: {buyer}
{lines}
Excl. moms: {net} kr
Moms {rate} %: {tax} kr
Incl. moms: {total} kr (SEK)
{notes}""", country="SE", currency="SEK", money="fr", date="iso", rates=(25, 12), slices=["currency"]),
    L("jp-english", """{vendor} K.K., Minato-ku, Tokyo
Tax invoice no. {number}
Issue date {issue}⟦ / Due date {due}⟧
Customer: {buyer}
Customer PO: {po}
{lines}
Amount before consumption tax   JPY {net}
Consumption tax ({rate}%)          JPY {tax}
Amount payable                  JPY {total}
{notes}""", country="JP", currency="JPY", money="whole", date="y/m/d", rates=(10,), slices=["currency"],
      traits=("plain", "refs", "balance", "term-only", "no-number", "po", "early")),
    L("key-value", """DOC_TYPE: INVOICE
DOC_NO: {number}
DOC_DATE: {issue}
DUE_DATE: {due}
SUPPLIER: {vendor} Ltd
SUPPLIER_VAT: {vat}
CUSTOMER: {buyer}
CUSTOMER_PO: {po}
CCY: GBP
{lines}
NET: {net}
TAX_RATE: {rate}
TAX: {tax}
GROSS: {total}
MEMO: {notes}""", line="LINE: {desc}; {qty}; {unit}; {amount}", money="plain", date="iso", slices=["machine"]),
    L("csv-export", """supplier;{vendor} Ltd
supplier vat id;{vat}
invoice;{number}
invoice date;{issue}
due date;{due}
purchase order;{po}
item;quantity;price;amount
{lines}
;;net;{net}
;;vat {rate}%;{tax}
;;gross EUR;{total}
comment;{notes}""", line="{desc};{qty};{unit};{amount}", country="IE", currency="EUR", money="plain", date="d-Mon-yy", rates=(23, "13.5"),
      slices=["machine"]),
    L("markdown", """# Invoice⟦ {number}⟧

**From:** {vendor} Ltd⟦ (VAT {vat})⟧
**To:** {buyer}
**Issued:** {issue}
**Due:** {due}
**PO:** {po}

| Item | Qty | Unit | Amount |
|---|---:|---:|---:|
{lines}

Net **€{net}**, VAT {rate}% **€{tax}**, total **€{total}**

> {notes}""", line="| {desc} | {qty} | {unit} | {amount} |", country="IE", currency="EUR", date="d Month y", rates=(23,), slices=["machine"]),
    L("html", """<html><body><h1>{vendor} Ltd</h1>⟦<p>VAT no. {vat}</p>⟧
<h2>Invoice <b>{number}</b></h2>
<p>Date: <time>{issue}</time></p>
<p>Pay by: <time>{due}</time></p>
<p>Customer order: {po}</p>
<table>
{lines}
</table>
<p>Net &pound;{net}<br>VAT @ {rate}% &pound;{tax}<br><strong>Total &pound;{total}</strong></p>
<footer>{notes}</footer></body></html>""", line="<tr><td>{desc}</td><td>{qty}</td><td>{unit}</td><td>{amount}</td></tr>", date="d Month y",
      slices=["machine"]),
    L("two-columns", """SELLER                               BUYER
{vendor_wide:<37}{buyer}
{street:<37}Accounts Payable, PO Box 12
Seller's VAT number: {vat}

Invoice number / date .......... ⟦{number} ⟧/ {issue}
Due ............................ {due}
Buyer's order .................. {po}

{lines}

                       NET       VAT {rate}%     GROSS (GBP)
                  {net:>10}  {tax:>10}  {total:>12}
{notes}""", slices=["plain"]),
    L("email-body", """From: Accounts <invoices@example.org>
To: ap@example.com
Subject: Invoice {number} from {vendor} Ltd

Hi all,

please find our invoice for last month below, since the portal refused the PDF again.

Invoice number: {number}
Invoice date: {issue}
Due date: {due}
Your PO: {po}
Our VAT ID: {vat}

{lines}

That makes £{net} plus £{tax} VAT ({rate} %), so £{total} in all.

{notes}

Thanks,
{person}
{vendor} Ltd""", line="* {desc}: {qty} at £{unit} = £{amount}", date="d Month y", slices=["email"],
      traits=("plain", "refs", "balance", "term-only", "po", "early", "buyer-vat")),
    L("email-correction", """From: {person} <billing@example.net>
To: payables@example.com
Subject: RE: RE: Corrected invoice

Dear colleagues, you are right, and we apologise. Please discard what we sent you before (that one said €{wrong}).
The corrected invoice⟦ has the number {number} and⟧ is dated {issue}⟦; it falls due on {due}⟧:

{lines}

Net €{net}, VAT {rate}% €{tax}, total €{total}.
Supplier: {vendor} Ltd⟦, VAT ID {vat}⟧.⟦ Purchase order {po}.⟧
{notes}

> On the day before, AP wrote:
> The total of €{wrong} does not match our order. Can you check, please?""", line="  {qty} x {desc} at €{unit}: €{amount}", country="IE",
      currency="EUR", date="d Month y", rates=(23,), slices=["email", "distractor"], traits=("plain", "term-only", "po", "early")),
    L("ocr-scan", """{vendor} Ltd          .  ,
{house} {street}
lNVOlCE⟦          VAT Reg {vat}⟧
lnvoice No:  {number}
Oate:  {issue}
Oue:   {due}
Customer 0rder:  {po}
_____________________________ ..
{lines}
                 ~~~~~~~~~~~
Sub tota1   {net}
V.A.T. @ {rate}%   {tax}
T0TAL  GBP   {total}
{notes}
- - page 1 of l - -""", line="{desc} {qty} {unit}   {amount}", slices=["ocr"]),
    L("ocr-broken-lines", """|  {vendor} Ltd
|
|  Inv
|  oice⟦  {number}⟧⟦        VAT {vat}⟧
|
|  issued
|      {issue}
⟦|  payable by
|      {due}
⟧|  order ref {po}
|
{lines}
|
|  goods tota|          € {net}
|  vat {rate}             € {tax}
|  amount tO pay       € {total}
|
|  {notes}""", line="|  {desc}\n|     {qty}   {unit}     {amount}", country="IE", currency="EUR", date="d/m/y", rates=(23,), slices=["ocr"]),
    L("statement", """{vendor} Ltd — account statement and invoice
VAT ID {vat}
Brought forward from earlier months ............ £{old}
Payments received, with thanks ................. £{old}
New charges: invoice⟦ {number}⟧ of {issue}
{lines}
New charges before VAT ......................... £{net}
VAT at {rate} % ................................... £{tax}
New charges with VAT ........................... £{total}
⟦Pay the new charges by {due}. ⟧⟦Purchase order on file: {po}.⟧
Year to date you have spent £{year} with us.
{notes}""", date="d Month y", slices=["distractor"], traits=("plain", "refs", "term-only", "po", "early", "buyer-vat")),
    L("discount", """{vendor} Ltd⟦ | VAT {vat}⟧
Invoice: {number}
Date: {issue}
Due by: {due}
PO: {po}
{lines}
Goods at list price        £{before}
Loyalty discount           -£{discount}
Net after discount         £{net}
VAT {rate}%                  £{tax}
Invoice total              £{total}
{notes}""", date="iso", slices=["distractor"]),
    L("deposit", """{vendor} Studio Ltd
Final invoice⟦ {number}⟧, issued on {issue}
VAT registration {vat}
Purchase order {po}
{lines}
Net {net} / VAT {rate}% {tax} / Invoice total {total} GBP
Deposit already received: {deposit} GBP
Remaining to be paid by {due}: {remaining} GBP
{notes}""", date="d Month y", slices=["distractor"], goods="studio", traits=("plain", "refs", "po", "buyer-vat", "no-number")),
    L("uk-credit-note", """CREDIT NOTE
{vendor} Ltd, {house} {street}, Bristol BS1 0XX
VAT no. {vat}
Credit note number: {number}
Date: {issue}
Credits our invoice {original}⟦, your order {po}⟧
{lines}
Net credit      -£{net}
VAT {rate}%        -£{tax}
Total credit    -£{total}
This amount is set off against your next payment; nothing is due.
{notes}""", kind="credit_note", date="d Month y", slices=["credit-note"], traits=("plain", "buyer-vat", "po", "no-number")),
    L("de-gutschrift", """{vendor} GmbH⟦, USt-IdNr. {vat}⟧
Gutschrift {number}
Datum: {issue}
zu Rechnung {original}
Ihre Bestellung: {po}
Empfänger: {buyer}
{lines}
Netto -{net} EUR, MwSt. {rate} % -{tax} EUR, Gutschriftsbetrag -{total} EUR
{notes}""", kind="credit_note", language="de", country="DE", currency="EUR", money="de", date="d.m.y", rates=(19,),
      slices=["credit-note", "language"], traits=("plain", "buyer-vat", "po")),
    L("credit-memo-us", """{vendor} Corp. - Boise, ID 83701
CREDIT MEMO⟦ {number}⟧
Memo date {issue}
Reason: goods returned (RMA 7{house})
Applies to invoice {original}⟦ / PO {po}⟧
{lines}
Merchandise credit    ({net})
Tax credit {rate}%      ({tax})
Total credit USD      ({total})
{notes}""", kind="credit_note", country="US", currency="USD", date="M d, y", rates=("6",), slices=["credit-note"],
      traits=("plain", "po", "no-number")),
    L("reverse-charge", """{vendor} GmbH⟦ (VAT ID {vat})⟧
Invoice {number}
Date of issue: {issue}
Due date: {due}
PO reference: {po}
Recipient: {buyer}
{lines}
Net amount EUR {net}
VAT 0 % EUR {tax} - reverse charge, the recipient is liable for the tax
Total EUR {total}
{notes}""", country="DE", currency="EUR", date="d.m.y", rates=(0,), slices=["tax"]),
    L("two-rates", """{vendor} Catering Ltd⟦                    VAT {vat}⟧
Invoice⟦ {number}⟧ of {issue}⟦, due {due}⟧
Your PO {po}
{lines}
Standard rate {rate}%: net {net_a}, VAT {tax_a}
Reduced rate {rate_b}%: net {net_b}, VAT {tax_b}
Net in all {net}, VAT in all {tax}
To pay: EUR {total}
{notes}""", country="IE", currency="EUR", date="d/m/y", rates=(23, "13.5"), slices=["tax"], goods="catering"),
    L("foreign-currency", """{vendor} Pty — remittance advice follows
Invoice⟦ no. {number}⟧; date {issue}⟦; due {due}⟧
Buyer PO: {po}
{lines}
Net AUD {net}
GST {rate}% AUD {tax}
Total AUD {total}
For your information only, at today's bank rate: about USD {converted}
{notes}""", country="AU", currency="AUD", date="d Month y", rates=(10,), slices=["currency", "distractor"],
      traits=("plain", "refs", "balance", "term-only", "no-number", "po")),
    L("xml", """<Invoice>
  <ID>{number}</ID>
  <IssueDate>{issue}</IssueDate>
  <DueDate>{due}</DueDate>
  <OrderReference><ID>{po}</ID></OrderReference>
  <AccountingSupplierParty><Name>{vendor} Ltd</Name>⟦<CompanyID>{vat}</CompanyID>⟧</AccountingSupplierParty>
  <AccountingCustomerParty><Name>{buyer}</Name></AccountingCustomerParty>
{lines}
  <TaxTotal currencyID="GBP" percent="{rate}">{tax}</TaxTotal>
  <TaxExclusiveAmount>{net}</TaxExclusiveAmount>
  <TaxInclusiveAmount>{total}</TaxInclusiveAmount>
  <Note>{notes}</Note>
</Invoice>""", line="  <InvoiceLine><Item>{desc}</Item><Quantity>{qty}</Quantity><Price>{unit}</Price><Amount>{amount}</Amount></InvoiceLine>",
      money="plain", date="iso", slices=["machine"]),
    L("subscription", """Thanks for staying with {vendor} Cloud Ltd!
Receipt for your renewal and VAT invoice⟦ {number}⟧
Billing period: {period_from} to {period_to}
Issued: {issue}
Payment is due on {due}; we charge the account on file.
VAT ID {vat}
PO {po}
{lines}
Before VAT $ {net}
VAT ({rate}%) $ {tax}
Total US$ {total}
{notes}""", line="{desc} ({qty} seats x $ {unit}) $ {amount}", currency="USD", date="M d, y", slices=["distractor", "dates"], goods="cloud",
      traits=("plain", "refs", "po", "buyer-vat")),
    L("chat", """[09:14] {person}: morning! here is what we agreed, you can take this as our official invoice
[09:14] {person}: invoice⟦ no {number}⟧, dated {issue}, from {vendor} Ltd⟦ (vat {vat})⟧
[09:15] {person}: please pay by {due}
[09:15] {person}: your po is {po}
{lines}
[09:17] {person}: so {net} net + {tax} vat at {rate}% = {total}, all in pounds
[09:18] {person}: {notes}""", line="[09:16] {person}: {qty} x {desc}, {unit} each, {amount}", date="d Month y", slices=["prose"],
      traits=("plain", "refs", "balance", "term-only", "po", "early")),
]

NOTES = {
    "en": {
        "refs": "This follows our quotation Q-{a} and order confirmation AB-{b}; your customer number is C-{c}.",
        "balance": "Not part of this invoice: {x} from our earlier invoice R-{a} is still open.",
        "term-only": "Terms: 30 days net.",
        "no-number": "Your account with us: {a}-{b}. Delivery note L-{c}.",
        "early": "If you pay within ten days, {x} is enough.",
        "buyer-vat": "VAT ID of the customer: {buyer_vat}.",
        "plain": "Thank you for your business.",
        "po": "Your order number is on the delivery note as well.",
    },
    "de": {
        "refs": "Grundlage: Angebot A-{a}, Auftragsbestätigung AB-{b}. Ihre Kundennummer: {c}.",
        "balance": "Nicht Teil dieser Rechnung: Aus unserer Rechnung R-{a} sind noch {x} offen.",
        "term-only": "Zahlungsziel: 30 Tage netto.",
        "no-number": "Ihr Kundenkonto: {a}-{b}. Lieferschein L-{c}.",
        "early": "Bei Zahlung innerhalb von zehn Tagen genügen {x}.",
        "buyer-vat": "USt-IdNr. des Kunden: {buyer_vat}.",
        "plain": "Vielen Dank für Ihren Auftrag.",
        "po": "Ihre Bestellnummer steht auch auf dem Lieferschein.",
    },
    "fr": {
        "refs": "Suite à notre devis D-{a} et à la confirmation AR-{b}. Votre code client : {c}.",
        "balance": "Hors de cette facture : {x} restent dus sur notre facture R-{a}.",
        "term-only": "Conditions : paiement à 30 jours.",
        "no-number": "Votre compte client : {a}-{b}. Bon de livraison L-{c}.",
        "early": "En cas de paiement sous dix jours, {x} suffisent.",
        "buyer-vat": "TVA du client : {buyer_vat}.",
        "plain": "Merci de votre confiance.",
        "po": "Votre numéro de commande figure aussi sur le bon de livraison.",
    },
    "nl": {
        "refs": "Volgens offerte O-{a} en orderbevestiging AB-{b}. Uw klantnummer: {c}.",
        "balance": "Geen deel van deze factuur: van factuur R-{a} staat nog {x} open.",
        "term-only": "Betaling binnen 30 dagen.",
        "no-number": "Uw klantrekening: {a}-{b}. Pakbon L-{c}.",
        "early": "Bij betaling binnen tien dagen volstaat {x}.",
        "buyer-vat": "Btw-nummer van de klant: {buyer_vat}.",
        "plain": "Hartelijk dank voor uw opdracht.",
        "po": "Uw ordernummer staat ook op de pakbon.",
    },
    "es": {
        "refs": "Según presupuesto P-{a} y confirmación AB-{b}. Su número de cliente: {c}.",
        "balance": "No forma parte de esta factura: quedan pendientes {x} de nuestra factura R-{a}.",
        "term-only": "Condiciones: pago a 30 días.",
        "no-number": "Su cuenta de cliente: {a}-{b}. Albarán L-{c}.",
        "early": "Si paga en diez días, bastan {x}.",
        "buyer-vat": "NIF-IVA del cliente: {buyer_vat}.",
        "plain": "Gracias por su confianza.",
        "po": "Su número de pedido figura también en el albarán.",
    },
}

GOODS = {
    "cloud": [
        ("Ledger plan, yearly", 9900, 29900), ("Approval workflow add-on", 2400, 7200), ("Archive storage, 1 TB", 3600, 9600), ("Priority support", 4800, 12000),
        ("Single sign-on module", 1200, 3600), ("Scanner app, business", 1800, 5400),
    ],
    "catering": [
        ("Hire of plates and glasses", 2900, 8900), ("Lunch platter for ten", 8900, 16500), ("Soup of the day, 5 litres", 3200, 6200),
        ("Fruit basket", 2400, 4800), ("Sandwich box for six", 3900, 7800), ("Cake, whole", 2800, 5200),
    ],
    "studio": [
        ("Logo design", 45000, 120000), ("Photo shoot, half day", 38000, 76000), ("Retouching, per picture", 1500, 4500), ("Layout of a brochure", 60000, 140000),
        ("Illustration", 18000, 42000), ("Font licence", 9000, 24000),
    ],
    "en": [
        ("A4 paper, box of five", 1900, 3200), ("Toner cartridge, black", 4900, 9900), ("Desk chair, grey", 14900, 32900),
        ("Office cleaning, per visit", 6500, 14000), ("Translation, per page", 2800, 5600), ("Server maintenance, hours", 8500, 14500),
        ("Courier delivery", 1150, 4800), ("Meeting room hire, half day", 12000, 26000), ("Lunch platter for ten", 8900, 16500),
        ("Network switch, 24 ports", 18900, 42000), ("Safety training, per head", 4500, 9500), ("Poster printing, A1", 1650, 3900),
        ("Backup licence, annual", 9900, 24900), ("Window cleaning", 7400, 18800), ("Consulting day", 64000, 118000),
        ("Coffee beans, 1 kg", 1450, 2690), ("Plant care, monthly", 3900, 8800), ("Fire extinguisher check", 2200, 6100),
    ],
    "de": [
        ("Kopierpapier, Karton", 1900, 3200), ("Bürostuhl, schwarz", 14900, 32900), ("Gebäudereinigung, Einsatz", 6500, 14000),
        ("Übersetzung, Normseite", 2800, 5600), ("Wartung, Stunde", 8500, 14500), ("Versandkosten", 690, 1490), ("Schulung, Teilnehmer", 4500, 9500),
        ("Beratung, Tag", 64000, 118000), ("Netzwerkkabel, 10 m", 890, 1990),
    ],
    "fr": [
        ("Ramettes de papier, carton", 1900, 3200), ("Fauteuil de bureau", 14900, 32900), ("Nettoyage des locaux, passage", 6500, 14000),
        ("Traduction, page", 2800, 5600), ("Maintenance, heure", 8500, 14500), ("Frais de port", 690, 1490), ("Journée de conseil", 64000, 118000),
        ("Location de salle", 12000, 26000),
    ],
    "nl": [
        ("Kopieerpapier, doos", 1900, 3200), ("Bureaustoel, zwart", 14900, 32900), ("Schoonmaak, per beurt", 6500, 14000),
        ("Vertaling, per pagina", 2800, 5600), ("Onderhoud, uur", 8500, 14500), ("Verzendkosten", 690, 1490), ("Adviesdag", 64000, 118000),
        ("Lunch voor tien", 8900, 16500),
    ],
    "es": [
        ("Papel A4, caja", 1900, 3200), ("Silla de oficina", 14900, 32900), ("Limpieza, por visita", 6500, 14000),
        ("Traducción, por página", 2800, 5600), ("Mantenimiento, hora", 8500, 14500), ("Gastos de envío", 690, 1490),
        ("Consultoría, día", 64000, 118000), ("Alquiler de sala", 12000, 26000),
    ],
}

MONTHS = {
    "en": "January February March April May June July August September October November December".split(),
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split(),
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split(),
    "nl": "januari februari maart april mei juni juli augustus september oktober november december".split(),
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split(),
}
