"""Receipts of stage2-extraction: tills, taxis, hotels. One function per layout; each returns its text and the true fields.

`draw` gives chance, `kind` one of the layout's variants. Amounts are integers of cents until they are printed.
"""

import datetime

import fictional


def cents(amount):
    return f"{amount // 100}.{amount % 100:02d}"


def comma(amount):
    return cents(amount).replace(".", ",")


def part(amount, percent):
    """The tax in a gross amount, rounded half up."""
    return (amount * percent * 2 + (100 + percent)) // (2 * (100 + percent))


def moment(draw):
    day = datetime.date(2026, 1, 1) + datetime.timedelta(days=draw.below(300))
    return day, f"{draw.between(7, 22):02d}:{draw.between(0, 59):02d}"


def fields(merchant, day, time, currency, tax, tip, total, method, last4):
    return {
        "merchant": merchant, "date": day.isoformat() if day else None, "time": time, "currency": currency,
        "tax_amount": None if tax is None else tax / 100, "tip": None if tip is None else tip / 100, "total": total / 100,
        "payment_method": method, "card_last4": last4,
    }


def last_four(draw):
    return draw.pick(fictional.CARDS)[-4:]


def us_diner(draw, kind):
    stem, (day, time) = draw.pick(fictional.STEMS), moment(draw)
    menu = draw.sample([("BLT SANDWICH", 1195), ("HOUSE SALAD", 985), ("ICED TEA", 350), ("TURKEY CLUB", 1425), ("SOUP CUP", 595), ("PIE SLICE", 675)], 3)
    food = sum(price for _, price in menu)
    tax, tip, four = (food * 8 + 50) // 100, draw.between(3, 9) * 100, last_four(draw)
    total = food + tax + (tip if kind == "tip" else 0)
    tail = {
        "tip": f"TIP          {cents(tip)}\nTOTAL        {cents(total)}\nVISA ending {four}",
        "no-tip": f"TOTAL        {cents(total)}\nVISA ending {four}\nSuggested tip: 15% {cents(food * 15 // 100)}  20% {cents(food // 5)}",
        "cash": f"TOTAL        {cents(total)}\nCASH         {cents(total // 1000 * 1000 + 2000)}\nCHANGE       {cents(total // 1000 * 1000 + 2000 - total)}",
    }[kind]
    text = (f"{stem.upper()} DINER\n{draw.pick(fictional.STREETS).upper()}, DAYTON OH\nCHECK 0{draw.between(100, 999)}   TABLE {draw.between(1, 30)}\n"
            f"{day:%m/%d/%Y} {time}\n" + "\n".join(f"{name:<13}{cents(price)}" for name, price in menu)
            + f"\nSUBTOTAL     {cents(food)}\nTAX          {cents(tax)}\n{tail}\nTHANK YOU, COME AGAIN")
    return text, fields(f"{stem.upper()} DINER", day, time, "USD", tax, tip if kind == "tip" else None, total,
                        "cash" if kind == "cash" else "card", None if kind == "cash" else four)


def de_supermarket(draw, kind):
    stem, (day, time) = draw.pick(fictional.STEMS), moment(draw)
    goods = draw.sample([("Apfelsaft 1L", 219), ("Kaffee 500g", 749), ("Vollmilch", 129), ("Kekse", 249), ("Servietten", 199), ("Mineralwasser", 79)], 4)
    total = sum(price for _, price in goods)
    tax, four = part(total, 7), last_four(draw)
    pay = {
        "card": f"Girocard **** {four}   {comma(total)}", "cash": f"BAR {comma(5000)}\nRückgeld {comma(5000 - total)}",
        "bonus": f"Kreditkarte XXXX{four}\nBonuspunkte heute: {total // 200}, Guthaben {comma(draw.between(300, 900))}",
    }[kind]
    text = (f"{stem} Markt\nFiliale {draw.between(10, 99)}\n\n" + "\n".join(f"{name:<18}{comma(price):>6} A" for name, price in goods)
            + f"\n------------------------\nSUMME EUR         {comma(total):>6}\n{pay}\nA 7,0% Netto {comma(total - tax)} MwSt {comma(tax)} Brutto {comma(total)}\n"
            f"{day:%d.%m.%Y}  {time}  Kasse 3  Bon {draw.between(1000, 9999)}")
    return text, fields(f"{stem} Markt", day, time, "EUR", tax, None, total, "cash" if kind == "cash" else "card", None if kind == "cash" else four)


def taxi(draw, kind):
    stem, (day, time) = draw.pick(fictional.STEMS), moment(draw)
    fare, four = draw.between(90, 480) * 10, last_four(draw)
    extra, tip = 350, draw.between(1, 6) * 100
    total = fare + (extra if kind == "airport" else 0) + (tip if kind == "tip" else 0)
    more = {"airport": f"Airport fee   {cents(extra)}\n", "tip": f"Gratuity      {cents(tip)}\n", "no-time": ""}[kind]
    text = (f"{stem} Cabs\nDriver {draw.between(1000, 9999)}\n{day:%d-%m-%Y}" + ("" if kind == "no-time" else f" at {time}")
            + f"\n{draw.between(3, 21)}.{draw.between(1, 9)} miles\nFare          {cents(fare)}\n{more}Charged GBP   {cents(total)}\n"
            + ("Paid in cash." if kind == "no-time" else f"Contactless card, last digits {four}."))
    return text, fields(f"{stem} Cabs", day, None if kind == "no-time" else time, "GBP", None, tip if kind == "tip" else None, total,
                        "cash" if kind == "no-time" else "card", None if kind == "no-time" else four)


def hotel(draw, kind):
    stem, (day, _) = draw.pick(fictional.STEMS), moment(draw)
    nights, rate, city, four = draw.between(2, 4), draw.between(95, 180) * 100, 320, last_four(draw)
    room = nights * rate
    breakfast = 1800 * nights if kind == "breakfast" else 0
    tax = part(room + breakfast, 10)
    total = room + breakfast + city * nights
    rows = [f"{(day - datetime.timedelta(days=nights - index)).strftime('%d/%m')}  Room          {cents(rate)}" for index in range(nights)]
    text = (f"HOTEL {stem.upper()}\nGuest: {draw.pick(fictional.PEOPLE)}   Room {draw.between(101, 512)}\nArrival {(day - datetime.timedelta(days=nights)):%d/%m/%Y}\n"
            f"Departure and date of bill {day:%d/%m/%Y}\n" + "\n".join(rows)
            + (f"\nBreakfast {nights} x 18.00 = {cents(breakfast)}" if breakfast else "")
            + f"\nCity tax {nights} x 3.20 = {cents(city * nights)} (no VAT)\nVAT 10% included in room{' and breakfast' if breakfast else ''}: {cents(tax)}\n"
            + {"breakfast": f"TOTAL EUR {cents(total)}\nMastercard ...{four}",
               "transfer": f"TOTAL EUR {cents(total)}\nTo be paid by bank transfer",
               "deposit": f"TOTAL EUR {cents(total)}\nof which paid at booking {cents(rate)}, today {cents(total - rate)}\nVisa ...{four}"}[kind])
    return text, fields(f"HOTEL {stem.upper()}", day, None, "EUR", tax, None, total, "other" if kind == "transfer" else "card",
                        None if kind == "transfer" else four)


def fuel(draw, kind):
    stem, (day, time) = draw.pick(fictional.STEMS), moment(draw)
    litres, price, four = draw.between(2500, 5900), draw.between(1489, 1889), last_four(draw)
    wash = 990 if kind == "car-wash" else 0
    gross = (litres * price + 500) // 1000
    total = gross + wash
    tax = part(total, 20)
    text = (f"*** {stem} Fuel Stop ***\nPump {draw.between(1, 8)}  Diesel\n{litres // 100}.{litres % 100:02d} L x £{price // 1000}.{price % 1000:03d}/L\n"
            f"Fuel           £{cents(gross)}\n" + (f"Car wash       £{cents(wash)}\n" if wash else "")
            + f"TOTAL          £{cents(total)}\nincl. VAT 20%  £{cents(tax)}\n"
            + (f"Fleet card, no. ends {four}\nOdometer {draw.between(20000, 90000)}\n" if kind == "fleet" else f"Debit card {four}\n")
            + f"{day:%d %b %Y} {time}")
    return text, fields(f"{stem} Fuel Stop", day, time, "GBP", tax, None, total, "card", four)


def parking(draw, kind):
    stem, (day, time) = draw.pick(fictional.STEMS), moment(draw)
    hours = draw.between(2, 6)
    total, four = hours * 280, last_four(draw)
    tax = part(total, 20)
    text = (f"{stem} Parking, level {draw.between(1, 4)}\nPlate XX00 XXX\nValid for {hours} h\n"
            + {"coins": f"Coins inserted {cents(total)}", "app": f"Paid in the app by card {four}", "no-date": f"Card {four}"}[kind]
            + f"\nAmount GBP {cents(total)}, VAT therein {cents(tax)}\n"
            + ("(date not readable)" if kind == "no-date" else f"Issued {day.isoformat()} {time}"))
    return text, fields(f"{stem} Parking", None if kind == "no-date" else day, None if kind == "no-date" else time, "GBP", tax, None, total,
                        "cash" if kind == "coins" else "card", None if kind == "coins" else four)


def cafe_scan(draw, kind):
    stem, (day, time) = draw.pick(fictional.STEMS), moment(draw)
    goods = draw.sample([("Fiat White", 380), ("Cr0issant", 310), ("Espress0", 270), ("0range juice", 420), ("Scone w/ jarn", 390)], 3)
    total, four = sum(price for _, price in goods), last_four(draw)
    tax = part(total, 20)
    text = (f". {stem} Coffee Bar ,\n` {day:%d/%m/%y}   {time}\n" + "\n".join(f"l x {name}  £{cents(price)}" for name, price in goods)
            + f"\n= = = = = =\nTOTA1   £{cents(total)}\nVAT incIuded £{cents(tax)}\n"
            + {"card": f"C0NTACTLESS  xxxx {four}", "cash": f"CASH £20.00  CHANGE £{cents(2000 - total)}",
               "voucher": f"Gift voucher redeemed £{cents(total)}"}[kind] + "\n~ th4nk you ~")
    method = {"card": "card", "cash": "cash", "voucher": "other"}[kind]
    return text, fields(f"{stem} Coffee Bar", day, time, "GBP", tax, None, total, method, four if kind == "card" else None)


def train(draw, kind):
    stem, (day, time) = draw.pick(fictional.STEMS), moment(draw)
    travel = day + datetime.timedelta(days=draw.between(5, 20))
    price, four = draw.between(29, 140) * 100, last_four(draw)
    seat = 450 if kind == "seat" else 0
    total = price + seat
    text = (f"{stem} Rail - your booking is confirmed\nBooked on {day.day} {day:%B %Y} at {time}\nTravel on {travel.day} {travel:%B %Y}, departs {draw.between(6, 9):02d}:{draw.between(0, 59):02d}\n"
            f"1 adult, second class: €{cents(price)}\n" + (f"Seat reservation: €{cents(seat)}\n" if seat else "")
            + f"Total: €{cents(total)}\n"
            + {"seat": f"VAT 7% included: €{cents(part(total, 7))}\nCharged to card ending in {four}",
               "no-vat": f"Cross-border fare\nCharged to card ending in {four}",
               "wallet": f"VAT 7% included: €{cents(part(total, 7))}\nPaid from your travel credit"}[kind])
    tax = None if kind == "no-vat" else part(total, 7)
    return text, fields(f"{stem} Rail", day, time, "EUR", tax, None, total, "other" if kind == "wallet" else "card", None if kind == "wallet" else four)


def card_slip(draw, kind):
    stem, (day, time) = draw.pick(fictional.STEMS), moment(draw)
    amount, tip, four = draw.between(3200, 12900), draw.between(4, 15) * 100, last_four(draw)
    written = kind == "written-tip"
    text = (f"CUSTOMER COPY\n{stem} Grill\nMerchant ID 00{draw.between(10000, 99999)}   Terminal 0{draw.between(1, 9)}\n{day:%b %d, %Y}  {time}\nSALE  CREDIT  ************{four}\n"
            f"Auth {draw.between(100000, 999999)}\nAMOUNT   $ {cents(amount)}\n"
            + {"written-tip": f"TIP      $ {cents(tip)}\nTOTAL    $ {cents(amount + tip)}", "blank-tip": f"TIP      $ ________\nTOTAL    $ {cents(amount)}",
               "refused-tip": f"TIP      $ 0.00\nTOTAL    $ {cents(amount)}"}[kind] + "\nTax is on the itemised receipt.")
    paid = {"written-tip": tip, "blank-tip": None, "refused-tip": 0}[kind]
    return text, fields(f"{stem} Grill", day, time, "USD", None, paid, amount + (tip if written else 0), "card", four)


def office_shop(draw, kind):
    stem, (day, time) = draw.pick(fictional.STEMS), moment(draw)
    goods = draw.sample([("stapler", 1290), ("notebooks (3)", 870), ("HDMI cable", 1590), ("markers", 640), ("desk lamp", 3490)], 2)
    net = sum(price for _, price in goods)
    off = net // 10 if kind == "coupon" else 0
    tax = ((net - off) * 13 + 50) // 100
    total, four = net - off + tax, last_four(draw)
    text = (f"{stem} Stationers, Ottawa\nReceipt R{draw.between(10000, 99999)}\n" + "; ".join(f"{name} {cents(price)}" for name, price in goods)
            + f"\nSub-total {cents(net)}" + (f"\nCoupon SAVE10 -{cents(off)}" if off else "")
            + f"\nHST 13% {cents(tax)}\nTotal CAD {cents(total)}\n"
            + (f"Interac debit, card {four}" if kind != "refundable" else f"Amex, card {four}. Returns within 30 days: up to {cents(total)} refundable.")
            + f"\n{day.isoformat()} {time}")
    return text, fields(f"{stem} Stationers", day, time, "CAD", tax, None, total, "card", four)


RECEIPTS = [
    (us_diner, ["tip", "no-tip", "cash"], ["plain", "dates"]), (de_supermarket, ["card", "cash", "bonus"], ["language"]),
    (taxi, ["airport", "tip", "no-time"], ["missing"]), (hotel, ["breakfast", "transfer", "deposit"], ["distractor"]),
    (fuel, ["plain", "car-wash", "fleet"], ["plain"]), (parking, ["coins", "app", "no-date"], ["missing"]),
    (cafe_scan, ["card", "cash", "voucher"], ["ocr"]), (train, ["seat", "no-vat", "wallet"], ["dates", "distractor"]),
    (card_slip, ["written-tip", "blank-tip", "refused-tip"], ["missing"]), (office_shop, ["plain", "coupon", "refundable"], ["currency"]),
]
