//! Money as finance meets it: every dialect's usage at its price, what has no price, prices that change, sums that agree
//! with the database whoever adds them up.

mod check;
mod dialects;
mod hours;
mod local;
mod odd;
mod sums;
mod tools;

use serde_json::Value;

use super::{client::Answer, home::Home, ledger::Rows};

/// The only attempt of the answered call.
fn attempt(home: &Home, answer: &Answer) -> Value {
    let row = Rows::of(home).only(answer.expect_header("x-request-id")).clone();
    let attempts = row["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 1, "{row:#}");
    attempts[0].clone()
}

/// A header of dollars as micro-dollars.
fn micros(dollars: &str) -> i64 {
    let (whole, fraction) = dollars.split_once('.').expect("six decimals");
    assert_eq!(fraction.len(), 6, "{dollars}");
    whole.parse::<i64>().expect("a number") * 1_000_000 + fraction.parse::<i64>().expect("a number")
}
