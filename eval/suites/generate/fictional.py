"""Names and numbers that belong to nobody.

Companies and people are invented. Mail and web addresses are in the domains RFC 2606 reserves, phones in 555-0100 to 555-0199.
IBANs are the examples of the IBAN registry (ISO 13616), cards the test numbers that payment processors document, US social security
numbers those withdrawn or reserved for advertisements (078-05-1120, 219-09-9999, 987-65-4320 to -4329). VAT numbers begin with
zeros, which no authority issues.
"""

STEMS = [
    "Quillmere", "Tarnwick", "Ostravale", "Brindlecot", "Velloway", "Marrowfen", "Pellinghurst", "Dorvane", "Kestrelby", "Lunmarsh",
    "Sablecote", "Wexholm", "Ardenvy", "Thistlemoor", "Corvanti", "Halvermead", "Ivyrook", "Jarrowfield", "Nettlebank", "Oxmarrow",
    "Pimberley", "Rookhollow", "Skelmond", "Umberleigh", "Varnholt", "Yarrowgate", "Zelmorra", "Cobblewyn", "Dunmarrick", "Eskermoor",
]

BUYERS = [
    "Norlumen Ledger Ltd", "Harrowgast Robotics Inc", "Plumquist Analytics GmbH", "Silverbask Logistics BV", "Kettlewyn Foods plc",
    "Amberlune Health Ltd", "Foxgrave Mobility SAS", "Granwick Bay Software Inc",
]

PEOPLE = [
    "Marisol Tandberg", "Edwin Okparra", "Priya Lindqvarn", "Tobias Fennimore", "Aiko Barrowdale", "Lucien Mbatho", "Greta Sollinger",
    "Hamish Delacroy", "Noor Vandersteyn", "Calliope Marsh", "Ivo Pertwick", "Sunniva Albrek", "Rafael Quint", "Odette Brannigar",
    "Kwame Ellingsworth", "Yuki Harrowby",
]

STREETS = ["Mill Lane", "Canal Street", "Orchard Row", "Station Road", "Foundry Yard", "Harbour View", "Bishop's Walk", "Tannery Court"]

IBANS = {
    "GB": "GB33BUKB20201555555555", "DE": "DE89370400440532013000", "FR": "FR1420041010050500013M02606", "NL": "NL91ABNA0417164300",
    "CH": "CH9300762011623852957", "ES": "ES9121000418450200051332", "BE": "BE68539007547034", "AT": "AT611904300234573201",
    "SE": "SE4550000000058398257466", "NO": "NO9386011117947", "DK": "DK5000400440116243", "PL": "PL61109010140000071219812874",
    "IE": "IE29AIBK93115212345678", "FI": "FI2112345600000785", "PT": "PT50000201231234567890154", "IT": "IT60X0542811101000000123456",
    "LU": "LU280019400644750000",
}

CARDS = [
    "4111111111111111", "4242424242424242", "5555555555554444", "378282246310005", "6011111111111117", "5105105105105100",
    "4012888888881881", "371449635398431",
]

SSNS = ["078-05-1120", "219-09-9999", "987-65-4320", "987-65-4322", "987-65-4325", "987-65-4329"]


def grouped(number, size=4):
    return " ".join(number[start:start + size] for start in range(0, len(number), size))


def phone(draw):
    return f"+1-{draw.pick(['202', '303', '415', '617', '512'])}-555-01{draw.between(0, 99):02d}"


def mail(name, domain="example.com"):
    return name.lower().replace(" ", ".").replace("'", "") + "@" + domain


def vat_id(draw, country):
    """In the country's form, with leading zeros."""
    serial = draw.between(100, 999)
    return {
        "DE": f"DE000000{serial}", "GB": f"GB000000{serial}", "FR": f"FR00000000{serial}", "NL": f"NL000000{serial}B01",
        "ES": f"ESB00000{serial}", "CH": f"CHE-000.000.{serial} MWST", "SE": f"SE000000{serial}001", "IE": f"IE0000{serial}X",
    }[country]
