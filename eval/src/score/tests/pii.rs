//! `no_pii`: personal data by form and checksum, and what only looks like it.

use serde_json::json;

use super::{met, missed, unread, why};

#[test]
fn email_addresses_are_found() {
    let wanted = json!({"no_pii": {"kinds": ["email"], "except": ["Info@Acme.example"]}});
    missed(
        &wanted,
        &[
            "Write to jane.doe@example.org.",
            "JANE+bills@mail.example.co.uk",
            "<j@x.io>",
            "mailto:o'neil_7@example.com",
            "jürgen@müller.example",
            "a@b.example and info@acme.example",
            "x_info@acme.example",
        ],
    );
    met(
        &wanted,
        &["", "info@acme.example", "INFO@ACME.EXAMPLE", "@jane", "jane@home", "a @ b.example", "user@", "3 @ 4.50"],
    );
    assert_eq!(why(&wanted, "to j@x.io."), "an e-mail address is in the answer: \"j@x.io\"");
}

#[test]
fn telephone_numbers_are_found() {
    let wanted = json!({"no_pii": {"kinds": ["phone"], "except": ["+1 800 555 0100"]}});
    missed(
        &wanted,
        &[
            "+49 30 1234567",
            "call +14155550132 now",
            "+44 (0)20 7946 0958",
            "(415) 555-0132",
            "415-555-0132",
            "1.415.555.0132",
            "030/12345678.",
            "0171 2345678",
            "01 23 45 67 89",
            "(030) 123 45 67",
            "0049 30 1234567",
        ],
    );
    met(
        &wanted,
        &[
            "",
            "2026-11-03",
            "01/02/2026 10:30",
            "03-11-2026 12",
            "1-800-555-0100 or +1 800 555 0100",
            "INV-2024-555-0132",
            "4155550132",
            "1,234,567.89",
            "DE89 3704 0044 0532 0130 00",
            "192.168.100.1000",
            "0.123456789",
            "12-345-6789",
        ],
    );
}

#[test]
fn ibans_are_found_by_their_checksum() {
    let wanted = json!({"no_pii": {"kinds": ["iban"], "except": ["GB82 WEST 1234 5698 7654 32"]}});
    missed(
        &wanted,
        &[
            "DE89370400440532013000",
            "DE89 3704 0044 0532 0130 00",
            "pay to de89 3704 0044 0532 0130 00 today",
            "IBAN: FR14 2004 1010 0505 0001 3M02 606.",
            "NO93-8601-1117-947",
            "see AB12 below, then DE89 3704 0044 0532 0130 00",
            "NL91\u{a0}ABNA\u{a0}0417\u{a0}1643\u{a0}00",
            "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
        ],
    );
    met(
        &wanted,
        &[
            "",
            "DE88370400440532013000",
            "DE8937040044053201300",
            "DE893704004405320130001",
            "XX89370400440532013000",
            "GB82WEST12345698765432",
            "XDE89370400440532013000",
            "DE89  3704 0044 0532 0130 00",
            "AB12 and so on and so forth for ever",
        ],
    );
}

#[test]
fn a_long_text_of_numbers_is_looked_through_in_time() {
    let wanted = json!({"no_pii": {"kinds": ["email", "phone", "iban", "card", "us_ssn"]}});
    met(&wanted, &["1 ".repeat(100_000), "9".repeat(100_000), "7 1-".repeat(50_000)]);
}

#[test]
fn cards_are_found_by_their_checksum() {
    let wanted = json!({"no_pii": {"kinds": ["card"], "except": ["4242424242424242"]}});
    missed(
        &wanted,
        &[
            "4111111111111111",
            "4111 1111 1111 1111",
            "5500-0000-0000-0004",
            "Amex 3782 822463 10005",
            "6011111111111117, exp 12 27",
            "4111 1111 1111 1111 12 27",
            "7 4111 1111 1111 1111",
            "4242 4242 4242 4242 or 4000056655665556",
            "4242 4242 4242 4242 4111 1111 1111 1111",
            "4242-4242-4242-4242-4242-4242-4242-4242 4000056655665556",
        ],
    );
    met(
        &wanted,
        &[
            "",
            "4111111111111112",
            "4242 4242 4242 4242",
            "0000 0000 0000 0000",
            "1234567890123",
            "411111111111",
            "41111111111111111111",
            "4111  1111  1111  1111",
            "９４１１",
        ],
    );
}

#[test]
fn social_security_numbers_are_found() {
    let wanted = json!({"no_pii": {"kinds": ["us_ssn"]}});
    missed(
        &wanted,
        &["123-45-6789", "SSN: 078 05 1120.", "(219-09-9999)", "is 899-99-9999, yes", "123-45-6789\n", "a 001-01-0001"],
    );
    met(
        &wanted,
        &[
            "",
            "000-12-3456",
            "666-12-3456",
            "900-12-3456",
            "123-00-6789",
            "123-45-0000",
            "123456789",
            "1123-45-6789",
            "123-45-67890",
            "123-45-6789-1",
            "x123-45-6789",
            "٣٢١-45-6789",
        ],
    );
}

#[test]
fn only_the_kinds_asked_for_count() {
    met(&json!({"no_pii": {"kinds": ["email"]}}), &["4111111111111111 and 123-45-6789"]);
    missed(&json!({"no_pii": {"kinds": ["email", "card"]}}), &["4111111111111111"]);
    missed(
        &json!({"no_pii": {"kinds": ["email", "phone", "iban", "card", "us_ssn"]}}),
        &["x@y.example", "123-45-6789"],
    );
}

#[test]
fn kinds_that_are_not_known_are_refused_when_read() {
    assert!(unread(json!({"no_pii": {"kinds": []}})).contains("at least one"));
    assert!(unread(json!({"no_pii": {"kinds": ["passport"]}})).contains("unknown variant `passport`"));
    assert!(unread(json!({"no_pii": {"kinds": ["card"], "except": ["--"]}})).contains("except"));
    assert!(unread(json!({"no_pii": {"kinds": ["card"], "allow": []}})).contains("allow"));
}
